import type { PluginRequest, Result } from '@amphipod/cni';
import { linkFind } from '@amphipod/netlink';
import { checkFailure } from '../lib/check-interface.ts';
import type { PluginHost } from '../lib/host.ts';
import { requirePrevResult } from '../lib/prev-result.ts';
import { readConfig } from './config.ts';

/** Looks whether the interface is in the VRF of the configuration, and that is up. */
export async function check(request: PluginRequest, host: PluginHost): Promise<void> {
  const { vrfName, table } = readConfig(request);
  requireResult(request);
  using pod = host.openPod(request.netns);
  const vrf = linkFind(pod.rtnl, vrfName);
  if (vrf?.vrf === undefined) throw checkFailure(`vrf ${vrfName} not found`);
  if (table !== undefined && vrf.vrf.table !== table) {
    throw checkFailure(`VRF ${vrfName} has routing table ${vrf.vrf.table}, want ${table}`);
  }
  if (!vrf.flags.up) throw checkFailure(`VRF ${vrfName} is down`);
  if (linkFind(pod.rtnl, request.ifName)?.masterIndex !== vrf.ifIndex) {
    throw checkFailure(`failed to find ${request.ifName} associated to vrf ${vrfName}`);
  }
}

/** @throws CniError invalid-network-config */
export function requireResult(request: PluginRequest): Result {
  return requirePrevResult(request, 'missing prevResult from earlier plugin');
}
