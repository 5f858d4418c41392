import { readFileSync } from 'node:fs';
import { arch, release } from 'node:os';
import { supportsX32 } from '@amphipod/linux';
import { CriError } from '../errors.ts';
import { type LinuxContainerSecurityContext, SecurityProfile_ProfileType } from '../gen/api.ts';
import { isVersionAtLeast } from '../is-version-at-least.ts';
import type { OciSeccomp } from '../oci/spec.ts';
import { distributionProfile, restrictToRuntimeDefault } from './runtime-default.ts';

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
  if (type === SecurityProfile_ProfileType.Localhost) return resolveProfile(readProfile(file), capabilities);
  const resolved = resolveProfile(readProfile(defaultProfile), capabilities);
  // One that somebody wrote for this node is taken at its word.
  return defaultProfile === distributionProfile ? restrictToRuntimeDefault(resolved, capabilities) : resolved;
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
  let profile: ConditionalProfile;
  try {
    profile = JSON.parse(readFileSync(path, 'utf8')) as ConditionalProfile;
  } catch (cause) {
    throw new CriError('failed-precondition', `read seccomp profile ${JSON.stringify(path)}`, { cause });
  }
  const problem = problemOf(profile);
  if (problem === undefined) return profile;
  throw new CriError('failed-precondition', `seccomp profile ${JSON.stringify(path)}: ${problem}`);
}

// opencontainers/runtime-spec, config-linux.md, "seccomp". NOTIFY wants a listener, which CRI has no way to name.
const actions = new Set(
  'KILL KILL_PROCESS KILL_THREAD TRAP ERRNO TRACE ALLOW LOG'.split(' ').map((name) => `SCMP_ACT_${name}`),
);

/** What keeps a profile from being one; names of system calls that nobody knows are left to the OCI runtime, which skips them. */
function problemOf({ defaultAction, syscalls = [] }: ConditionalProfile): string | undefined {
  const unknown = (action: unknown) => `action ${JSON.stringify(action)}: unknown`;
  if (!actions.has(defaultAction)) return `defaultAction ${JSON.stringify(defaultAction)}: unknown`;
  if (!Array.isArray(syscalls)) return 'syscalls: must be a list';
  for (const [index, { action, names, name }] of syscalls.entries()) {
    if (!actions.has(action)) return `syscalls ${index}: ${unknown(action)}`;
    if (name === undefined && !Array.isArray(names)) return `syscalls ${index}: names: missing`;
  }
  return undefined;
}

interface Machine {
  arch: string;
  x32: boolean;
  /** `uname -r` */
  kernel: string;
}

/** Keeps the rules whose conditions hold for this machine and these capabilities; plain OCI profiles pass unchanged. */
export function resolveProfile(
  profile: ConditionalProfile,
  capabilities: readonly string[],
  machine: Machine = { arch: arch(), x32: supportsX32(), kernel: release() },
): OciSeccomp {
  const native = machine.arch === 'arm64' ? 'SCMP_ARCH_AARCH64' : 'SCMP_ARCH_X86_64';
  const archName = machine.arch === 'arm64' ? 'arm64' : 'amd64';
  const mapped = profile.archMap?.find(({ architecture }) => architecture === native);
  const holds = ({ caps, arches, minKernel }: Conditions) =>
    (caps ?? []).every((cap) => capabilities.includes(cap)) &&
    (!arches?.length || arches.includes(archName)) &&
    (minKernel === undefined || isVersionAtLeast(machine.kernel, minKernel));
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
