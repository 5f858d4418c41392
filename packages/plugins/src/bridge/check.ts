import type { PluginRequest, Result } from '@amphipod/cni';
import { type Link, linkFind, parseCidr } from '@amphipod/netlink';
import {
  checkFailure,
  checkPodInterface,
  findPodInterface,
  requirePrevResult,
} from '../lib/check-interface.ts';
import type { PluginHost } from '../lib/host.ts';
import { hasIpMasq } from '../lib/ip-masq.ts';
import { ipamCall } from '../lib/ipam.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { type BridgeConfig, readConfig } from './config.ts';

/** Compares bridge, pair, addresses, routes and masquerading with the result of ADD. */
export async function check(request: PluginRequest, host: PluginHost): Promise<void> {
  const config = readConfig(request);
  await ipamCall(request, 'CHECK');
  const result = requirePrevResult(request);
  const bridge = checkBridge(host, config);
  const podInterface = findPodInterface(result, request);
  using pod = host.openPod(request.netns);
  const podLink = checkPodInterface(pod, result, podInterface);
  checkHostEnd(host, podLink, { bridge, result });
  await checkMasquerade(request, host, { ipMasq: config.ipMasq, result });
}

function checkBridge(host: PluginHost, { bridge: name, promisc }: BridgeConfig): Link {
  const bridge = linkFind(host.rtnl, name);
  if (bridge === undefined) throw checkFailure(`bridge ${name} not found`);
  if (bridge.kind !== 'bridge') throw checkFailure(`interface ${name} is not a bridge`);
  if (!bridge.flags.up) throw checkFailure(`bridge ${name} is down`);
  if (promisc && bridge.promiscuity === 0) throw checkFailure(`bridge ${name} is not in promiscuous mode`);
  return bridge;
}

function checkHostEnd(
  host: PluginHost,
  podLink: Link,
  { bridge, result }: { bridge: Link; result: Result },
): void {
  const hostEnd = podLink.peerIndex === undefined ? undefined : linkFind(host.rtnl, podLink.peerIndex);
  if (podLink.kind !== 'veth' || hostEnd === undefined) {
    throw checkFailure(`interface ${podLink.name} is no veth with its other end on this host`);
  }
  const isListed = (result.interfaces ?? []).some(
    ({ name, sandbox }) => name === hostEnd.name && sandbox === undefined,
  );
  if (!isListed) throw checkFailure(`host interface ${hostEnd.name} is not in the previous result`);
  if (!hostEnd.flags.up) throw checkFailure(`host interface ${hostEnd.name} is down`);
  if (hostEnd.masterIndex !== bridge.ifIndex) {
    throw checkFailure(`host interface ${hostEnd.name} is no port of bridge ${bridge.name}`);
  }
}

async function checkMasquerade(
  request: PluginRequest,
  host: PluginHost,
  { ipMasq, result }: Pick<BridgeConfig, 'ipMasq'> & { result: Result },
): Promise<void> {
  for (const { address } of result.ips ?? []) {
    if (!(await hasIpMasq(host, ipMasq, ownerOf(request), parseCidr(address)))) {
      throw checkFailure(`masquerade rule for ${address} not found`);
    }
  }
}
