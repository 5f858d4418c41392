import type { PluginRequest, Result, ResultInterface } from '@amphipod/cni';
import { type Link, linkFind, parseCidr } from '@amphipod/netlink';
import {
  checkFailure,
  checkGateways,
  checkHostEnd,
  checkPodInterface,
  findPodInterface,
} from '../lib/check-interface.ts';
import type { PluginHost } from '../lib/host.ts';
import { checkIpMasq } from '../lib/ip-masq.ts';
import { ipamCall } from '../lib/ipam.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { requirePrevResult } from '../lib/prev-result.ts';
import { type BridgeConfig, readConfig } from './config.ts';
import { gatewaysOf } from './gateway.ts';
import { hasMacSpoofCheck } from './mac-spoof-check.ts';
import { findVlanFault } from './port-vlans.ts';
import { vlanInterfaceName } from './vlan-interface.ts';

/** Compares bridge, pair, VLANs, addresses, routes and rules with the configuration and the result of ADD. */
export async function check(request: PluginRequest, host: PluginHost): Promise<void> {
  const config = readConfig(request);
  await ipamCall(request, 'CHECK');
  const result = requirePrevResult(request);
  const bridge = checkBridge(host, config);
  const podInterface = findPodInterface(result, request);
  using pod = host.openPod(request.netns);
  const podLink = checkPodInterface(pod, result, podInterface);
  const hostEnd = checkHostEnd(host.rtnl, podLink, result);
  checkPort(host, hostEnd, bridge, config);
  if (config.isGateway && config.ipamType !== undefined) checkGateway(host, bridge, config, result);
  if (config.macSpoofCheck) checkMacSpoofCheck(request, host, hostEnd, podInterface);
  const addresses = (result.ips ?? []).map(({ address }) => parseCidr(address));
  await checkIpMasq(host, config.ipMasq, ownerOf(request), addresses);
}

function checkBridge(host: PluginHost, { bridge: name, promisc, vlans }: BridgeConfig): Link {
  const bridge = linkFind(host.rtnl, name);
  if (bridge === undefined) throw checkFailure(`bridge ${name} not found`);
  if (bridge.kind !== 'bridge') throw checkFailure(`interface ${name} is not a bridge`);
  if (!bridge.flags.up) throw checkFailure(`bridge ${name} is down`);
  if (promisc && bridge.promiscuity === 0) throw checkFailure(`bridge ${name} is not in promiscuous mode`);
  if (vlans !== undefined && !bridge.bridge!.vlanFiltering) {
    throw checkFailure(`bridge ${name} does not filter VLANs`);
  }
  return bridge;
}

function checkPort(
  host: PluginHost,
  port: Link,
  bridge: Link,
  { hairpin, isolated, vlans }: BridgeConfig,
): void {
  if (port.masterIndex !== bridge.ifIndex) {
    throw checkFailure(`host interface ${port.name} is no port of bridge ${bridge.name}`);
  }
  for (const [what, wanted, found] of [
    ['hairpin mode', hairpin, port.bridgePort?.hairpin],
    ['port isolation', isolated, port.bridgePort?.isolated],
  ] as const) {
    if (wanted && !found) throw checkFailure(`host interface ${port.name} is without ${what}`);
  }
  const fault = vlans === undefined ? undefined : findVlanFault(host.rtnl, port, bridge, vlans);
  if (fault !== undefined) throw checkFailure(`host interface ${port.name} ${fault}`);
}

function checkGateway(host: PluginHost, bridge: Link, { vlans }: BridgeConfig, result: Result): void {
  const vlanId = vlans?.vlanId;
  const name = vlanId === undefined ? bridge.name : vlanInterfaceName(bridge.name, vlanId);
  const link = vlanId === undefined ? bridge : linkFind(host.rtnl, name);
  if (link === undefined) throw checkFailure(`vlan interface ${name} not found`);
  if (!link.flags.up) throw checkFailure(`vlan interface ${name} is down`);
  checkGateways(host.rtnl, link, gatewaysOf(result));
}

function checkMacSpoofCheck(
  request: PluginRequest,
  { nft }: PluginHost,
  { name }: Link,
  { mac = '' }: ResultInterface,
): void {
  if (!hasMacSpoofCheck(nft, ownerOf(request), { name, mac: mac.toLowerCase() })) {
    throw checkFailure(`MAC spoof check of ${mac} on ${name} not found`);
  }
}
