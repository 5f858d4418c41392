import { readFileSync } from 'node:fs';
import { isCode } from '@amphipod/linux';
import { CriError } from '../errors.ts';
import { type LinuxContainerSecurityContext, SecurityProfile_ProfileType } from '../gen/api.ts';

/**
 * The AppArmor profile of a container; undefined for none. RuntimeDefault is none: we bring no profile of our own yet.
 * @throws CriError failed-precondition for a profile on a machine without AppArmor, which would go unheeded
 */
export function containerApparmorProfile(
  security: LinuxContainerSecurityContext | undefined,
  isEnabled: () => boolean = isApparmorEnabled,
): string | undefined {
  const name = security?.privileged ? undefined : wantedProfile(security);
  if (name === undefined || isEnabled()) return name;
  throw new CriError(
    'failed-precondition',
    `apparmor profile ${JSON.stringify(name)}: AppArmor is not enabled here`,
  );
}

function wantedProfile(security: LinuxContainerSecurityContext | undefined): string | undefined {
  const { apparmor, apparmorProfile = '' } = security ?? {};
  // The new field wins; the kubelet sends the bare name there, others put the old prefix before it.
  if (apparmor === undefined) return /^localhost\/(.+)$/.exec(apparmorProfile)?.[1];
  if (apparmor.profileType !== SecurityProfile_ProfileType.Localhost) return undefined;
  return apparmor.localhostRef.replace(/^localhost\//, '');
}

function isApparmorEnabled(): boolean {
  try {
    return readFileSync('/sys/module/apparmor/parameters/enabled', 'latin1').startsWith('Y');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return false;
    throw error;
  }
}
