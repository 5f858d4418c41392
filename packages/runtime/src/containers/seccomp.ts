import { readFileSync } from 'node:fs';
import { arch } from 'node:os';
import { supportsX32 } from '@amphipod/linux';
import { CriError } from '../errors.ts';
import { type LinuxContainerSecurityContext, SecurityProfile_ProfileType } from '../gen/api.ts';
import type { OciSeccomp } from '../oci/spec.ts';

/** Docker's profile format, which Debian's and Podman's default profile use: rules with conditions. */
interface ConditionalProfile extends Omit<OciSeccomp, 'architectures' | 'syscalls'> {
  archMap?: { architecture: string; subArchitectures?: string[] }[];
  architectures?: string[];
  syscalls?: (NonNullable<OciSeccomp['syscalls']>[number] & {
    name?: string;
    includes?: Conditions;
    excludes?: Conditions;
  })[];
}
interface Conditions {
  caps?: string[];
  arches?: string[];
  minKernel?: string;
}

/**
 * The seccomp filter of a container; undefined means unconfined.
 * @param defaultProfile file behind RuntimeDefault
 * @throws CriError when a profile file is missing or not a profile
 */
export function containerSeccomp(
  security: LinuxContainerSecurityContext | undefined,
  { defaultProfile, capabilities }: { defaultProfile: string; capabilities: readonly string[] },
): OciSeccomp | undefined {
  if (security === undefined || security.privileged) return undefined;
  const { type, file } = wantedProfile(security);
  if (type === SecurityProfile_ProfileType.Unconfined) return undefined;
  const path = type === SecurityProfile_ProfileType.Localhost ? file : defaultProfile;
  return resolveProfile(readProfile(path), capabilities);
}

function wantedProfile(security: LinuxContainerSecurityContext): {
  type: SecurityProfile_ProfileType;
  file: string;
} {
  const { seccomp, seccompProfilePath } = security;
  if (seccomp !== undefined) {
    return { type: seccomp.profileType, file: seccomp.localhostRef.replace(/^localhost\//, '') };
  }
  // The deprecated field: empty means unconfined.
  const { Localhost, RuntimeDefault, Unconfined } = SecurityProfile_ProfileType;
  if (seccompProfilePath.startsWith('localhost/'))
    return { type: Localhost, file: seccompProfilePath.slice(10) };
  if (/^(runtime|docker)\/default$/.test(seccompProfilePath)) return { type: RuntimeDefault, file: '' };
  if (seccompProfilePath === '' || seccompProfilePath === 'unconfined') return { type: Unconfined, file: '' };
  throw new CriError(
    'invalid-argument',
    `seccomp_profile_path ${JSON.stringify(seccompProfilePath)}: unknown form`,
  );
}

function readProfile(path: string): ConditionalProfile {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as ConditionalProfile;
  } catch (cause) {
    throw new CriError('failed-precondition', `read seccomp profile ${JSON.stringify(path)}`, { cause });
  }
}

/** Keeps the rules whose conditions hold for this machine and these capabilities; plain OCI profiles pass unchanged. */
export function resolveProfile(
  profile: ConditionalProfile,
  capabilities: readonly string[],
  machine: { arch: string; x32: boolean } = { arch: arch(), x32: supportsX32() },
): OciSeccomp {
  const native = machine.arch === 'arm64' ? 'SCMP_ARCH_AARCH64' : 'SCMP_ARCH_X86_64';
  const archName = machine.arch === 'arm64' ? 'arm64' : 'amd64';
  const mapped = profile.archMap?.find(({ architecture }) => architecture === native);
  const holds = ({ caps, arches }: Conditions) =>
    (caps ?? []).every((cap) => capabilities.includes(cap)) && (!arches?.length || arches.includes(archName));
  const excluded = ({ caps, arches }: Conditions) =>
    (caps ?? []).some((cap) => capabilities.includes(cap)) || (arches ?? []).includes(archName);
  return {
    defaultAction: profile.defaultAction,
    ...(profile.defaultErrnoRet !== undefined && { defaultErrnoRet: profile.defaultErrnoRet }),
    ...(profile.flags !== undefined && { flags: profile.flags }),
    // Rules for an ABI that the kernel does not have only make the filter larger and its making slower (docs/adr/0010).
    architectures: (mapped
      ? [native, ...(mapped.subArchitectures ?? [])]
      : (profile.architectures ?? [native])
    ).filter((name) => name !== 'SCMP_ARCH_X32' || machine.x32),
    syscalls: (profile.syscalls ?? [])
      .filter(({ includes = {}, excludes = {} }) => holds(includes) && !excluded(excludes))
      .map(({ names, name, action, args, errnoRet }) => ({
        names: names ?? [name!],
        action,
        ...(args?.length && { args }),
        ...(errnoRet !== undefined && { errnoRet }),
      })),
  };
}
