import { isCode } from '@amphipod/linux';
import { type LinkCounters, linkCounters, openRtnlIn } from '@amphipod/netlink';
import { nowNs } from '../clock.ts';
import type { RuntimeContext } from '../context.ts';
import type { NetworkInterfaceUsage, NetworkUsage } from '../gen/api.ts';
import { sandboxPaths } from '../pods/paths.ts';
import type { Sandbox } from '../store/records.ts';

const defaultInterface = 'eth0';

/**
 * Counters of the interfaces in a pod's own network namespace, the loopback aside, by netlink. Undefined for a pod on the
 * node's network, whose traffic nobody can tell apart, and when the namespace is gone.
 */
export function podInterfaces(context: RuntimeContext, sandbox: Sandbox): LinkCounters[] | undefined {
  if (sandbox.namespaces.network !== 'pod' || sandbox.state !== 'ready') return undefined;
  try {
    using rtnl = openRtnlIn(sandboxPaths(context.config, sandbox.id).net);
    return linkCounters(rtnl).filter(({ loopback }) => !loopback);
  } catch (error) {
    // Stopped at this moment, or a plain file where the pin was (field case CNI-18).
    if (isCode(error, 'ENOENT', 'EINVAL')) return undefined;
    throw error;
  }
}

/** The same as CRI says it. */
export function podNetworkUsage(context: RuntimeContext, sandbox: Sandbox): NetworkUsage | undefined {
  const interfaces = podInterfaces(context, sandbox);
  if (interfaces === undefined) return undefined;
  const main = interfaces.find(({ name }) => name === defaultInterface);
  return {
    timestamp: nowNs(),
    defaultInterface: main && usageMessage(main),
    interfaces: interfaces.filter((link) => link !== main).map(usageMessage),
  };
}

function usageMessage({ name, rxBytes, rxErrors, txBytes, txErrors }: LinkCounters): NetworkInterfaceUsage {
  return {
    name,
    rxBytes: { value: rxBytes },
    rxErrors: { value: rxErrors },
    txBytes: { value: txBytes },
    txErrors: { value: txErrors },
  };
}
