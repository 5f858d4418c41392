import { cgroupRemove } from '@amphipod/linux';
import type { RuntimeContext } from '../context.ts';
import { stopUnit } from '../oci/stop-unit.ts';
import type { Sandbox } from '../store/records.ts';
import { removeSandboxFiles } from './files.ts';
import { detachFurtherNetworks, hasFurtherNetworks } from './further-networks/detach.ts';
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
  await attempt(() => detachFurtherNetworks(context, sandbox, { signal }));
  await attempt(() => detachNetwork(context, sandbox, { signal }));
  if (sandbox.network === undefined && !hasFurtherNetworks(sandbox)) {
    await attempt(() => removeSandboxNamespaces(context, sandbox.id));
    await attempt(() => removeSandboxFiles(context, sandbox.id));
  }
  await attempt(() => removeOwnCgroup(context, sandbox));
  if (failures.length > 0) throw new AggregateError(failures, `release sandbox ${sandbox.id}`);
}

/** The pod's cgroup is removed only where we made it; the kubelet's parents are the kubelet's. */
export async function removeOwnCgroup(context: RuntimeContext, sandbox: Sandbox): Promise<void> {
  if (!sandbox.ownsCgroupParent) return;
  context.cpuRates.forget(sandbox.cgroupParent);
  // systemd made the slice for the first scope in it, and would keep it for ever.
  if (context.cgroupDriver === 'systemd')
    await stopUnit(sandbox.cgroupParent.slice(sandbox.cgroupParent.lastIndexOf('/') + 1));
  cgroupRemove(context.cgroups, sandbox.cgroupParent);
}
