import { randomBytes } from 'node:crypto';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { isCode } from '@amphipod/linux';
import { CriError } from '../errors.ts';
import { type LinuxContainerSecurityContext, SecurityProfile_ProfileType } from '../gen/api.ts';
import { runProgram } from '../oci/run-runtime.ts';
import { findProgram } from '../oci/runtimes.ts';
import { defaultProfileName, defaultProfileText } from './apparmor-profile.ts';

/** AppArmor of this machine, for tests to replace. */
export interface Apparmor {
  isEnabled(): boolean;
  /** Names of the loaded profiles; undefined where the kernel's list cannot be read. */
  loaded(): ReadonlySet<string> | undefined;
  /** Loads our own profile. @returns false where there is no `apparmor_parser` to do it */
  loadDefault(): Promise<boolean>;
}

/**
 * The AppArmor profile of a container; undefined for none. RuntimeDefault, which nothing said means too, is a profile of ours;
 * on a machine without AppArmor, or without its parser, it is none.
 * @throws CriError failed-precondition for a named profile on a machine without AppArmor, or that is not loaded
 */
export async function containerApparmorProfile(
  security: LinuxContainerSecurityContext | undefined,
  apparmor: Apparmor = ofThisMachine,
): Promise<string | undefined> {
  if (security?.privileged) return undefined;
  const wanted = wantedProfile(security);
  if (wanted === 'unconfined') return undefined;
  if (wanted === 'default') {
    if (!apparmor.isEnabled()) return undefined;
    const isLoaded = apparmor.loaded()?.has(defaultProfileName) || (await apparmor.loadDefault());
    return isLoaded ? defaultProfileName : undefined;
  }
  const refuse = (why: string) =>
    new CriError('failed-precondition', `apparmor profile ${JSON.stringify(wanted.name)}: ${why}`);
  if (!apparmor.isEnabled()) throw refuse('AppArmor is not enabled here');
  if (apparmor.loaded()?.has(wanted.name) === false) throw refuse('is not loaded');
  return wanted.name;
}

function wantedProfile(
  security: LinuxContainerSecurityContext | undefined,
): 'default' | 'unconfined' | { name: string } {
  const { apparmor, apparmorProfile = '' } = security ?? {};
  const { Localhost, Unconfined, RuntimeDefault } = SecurityProfile_ProfileType;
  // The new field wins; the kubelet sends the bare name there, others put the old prefix before it.
  switch (apparmor?.profileType) {
    case Localhost:
      return { name: apparmor.localhostRef.replace(/^localhost\//, '') };
    case Unconfined:
      return 'unconfined';
    case RuntimeDefault:
      return 'default';
  }
  if (apparmorProfile === '' || apparmorProfile === 'runtime/default') return 'default';
  if (apparmorProfile === 'unconfined') return 'unconfined';
  const name = /^localhost\/(.+)$/.exec(apparmorProfile)?.[1];
  if (name !== undefined) return { name };
  throw new CriError('invalid-argument', `apparmor_profile ${JSON.stringify(apparmorProfile)}: unknown form`);
}

const ofThisMachine: Apparmor = {
  isEnabled: () => readIfThere('/sys/module/apparmor/parameters/enabled')?.startsWith('Y') ?? false,
  loaded() {
    const list = readIfThere('/sys/kernel/security/apparmor/profiles');
    return list === undefined
      ? undefined
      : new Set(list.split('\n').map((line) => line.replace(/ \([a-z]+\)$/, '')));
  },
  async loadDefault() {
    const parser = findProgram('apparmor_parser');
    if (parser === undefined) return false;
    const file = `${tmpdir()}/${defaultProfileName}-${randomBytes(6).toString('hex')}`;
    writeFileSync(file, defaultProfileText, { flag: 'wx', mode: 0o600 });
    try {
      // --replace loads it also where it is loaded; no cache: it is small and ours.
      await runProgram([parser, '--replace', '--skip-cache', file]);
    } finally {
      rmSync(file, { force: true });
    }
    return true;
  },
};

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1');
  } catch (error) {
    if (isCode(error, 'ENOENT', 'EACCES', 'EPERM')) return undefined;
    throw error;
  }
}
