import { readFileSync } from 'node:fs';
import { isVersionAtLeast } from '../is-version-at-least.ts';
import { runProgram } from '../oci/run-runtime.ts';
import type { RuntimeFeatures } from '../oci/runtimes.ts';

/** The parts of `runc features` that we look at (opencontainers/runtime-spec, features.md). */
interface FeaturesOutput {
  mountOptions?: string[];
  linux?: { namespaces?: string[] };
  annotations?: Record<string, string>;
}

/** What old programs without the command can, by their source; runc has it since 1.1.0, crun since 1.8.6. */
const withoutCommand: Record<string, FeaturesOutput> = {
  crun: { mountOptions: ['rro'], linux: { namespaces: ['user'] } },
};

/**
 * What a runtime and this kernel can do together, as the program itself says. One that does not say has no features.
 * @param kernel `uname -r`
 */
export async function runtimeFeatures(
  { name, program }: { name: string; program: string },
  kernel: string,
): Promise<RuntimeFeatures> {
  const { mountOptions = [], linux = {}, annotations = {} } = await askProgram(name, program);
  return {
    // mount_setattr(2)
    recursiveReadOnlyMounts: mountOptions.includes('rro') && isVersionAtLeast(kernel, '5.12'),
    userNamespaces: userNamespaces(name, kernel, linux.namespaces ?? []),
    chownsDevices: chownsDevices(annotations),
  };
}

async function askProgram(name: string, program: string): Promise<FeaturesOutput> {
  try {
    return JSON.parse(await runProgram([program, 'features'])) as FeaturesOutput;
  } catch {
    return withoutCommand[name] ?? {};
  }
}

function userNamespaces(name: string, kernel: string, namespaces: readonly string[]): { problem?: string } {
  if (!namespaces.includes('user')) return { problem: `${name} has no user namespaces` };
  if (!isVersionAtLeast(kernel, '5.19'))
    return { problem: `Linux ${kernel} cannot show images to a user namespace; 5.19 can` };
  if (maxUserNamespaces() === 0)
    return { problem: 'user namespaces are turned off (sysctl user.max_user_namespaces)' };
  return {};
}

/** A kernel without user namespaces does not have the file. */
function maxUserNamespaces(): number {
  try {
    return Number(readFileSync('/proc/sys/user/max_user_namespaces', 'latin1'));
  } catch {
    return 0;
  }
}

/**
 * crun before 1.24 does (containers/crun issue 1845), and so do runc 1.1.3 and 1.1.4 (opencontainers/runc issue 3674). A program
 * that does not say which of the two it is may do it as well.
 */
function chownsDevices(annotations: Record<string, string>): boolean {
  const crun = annotations['run.oci.crun.version'];
  const runc = annotations['org.opencontainers.runc.version'];
  if (crun !== undefined) return !isVersionAtLeast(crun, '1.24');
  return runc === undefined || /^1\.1\.[34]\b/.test(runc);
}
