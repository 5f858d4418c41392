import { cgroupRemove } from '@amphipod/linux';
import type { RuntimeContext } from '../context.ts';
import type { Sandbox } from '../store/records.ts';
import { removeSandboxFiles } from './files.ts';
import { stopSandboxInit } from './init.ts';
import { removeSandboxNamespaces } from './namespaces.ts';
import { detachNetwork } from './network.ts';

/**
 * Gives back what a running sandbox holds: init, network, namespaces, shared memory. Its containers must be stopped.
 * Each part is fine when it is gone already; a part that fails does not keep the next from being tried, and is tried
 * again when this is called again. The record stays.
 * @throws AggregateError with every failure
 */
export async function releaseSandbox(
  context: RuntimeContext,
  sandbox: Sandbox,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const failures: unknown[] = [];
  const attempt = async (work: () => void | Promise<void>) => {
    try {
      await work();
    } catch (error) {
      failures.push(error);
    }
  };
  await attempt(() => stopSandboxInit(context, sandbox));
  // The namespace stays while its network is not undone: the plugins need it at the next try.
  await attempt(() => detachNetwork(context, sandbox, { signal }));
  if (sandbox.network === undefined) {
    await attempt(() => removeSandboxNamespaces(context, sandbox.id));
    await attempt(() => removeSandboxFiles(context, sandbox.id));
  }
  await attempt(() => removeOwnCgroup(context, sandbox));
  if (failures.length > 0) throw new AggregateError(failures, `release sandbox ${sandbox.id}`);
}

/** Parent of the cgroups of pods for which no cgroup_parent was given. */
export const ownCgroup = '/amphipod';

/** The pod's cgroup is removed only where we made it; the kubelet's parents are the kubelet's. */
export function removeOwnCgroup(context: RuntimeContext, sandbox: Sandbox): void {
  if (sandbox.ownsCgroupParent) cgroupRemove(context.cgroups, sandbox.cgroupParent);
}
