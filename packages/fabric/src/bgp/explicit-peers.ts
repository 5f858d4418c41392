import { cidrOf, contains, parseCidr, parseIp } from '@amphipod/netlink';
import type { BgpPeer } from '../resources/bgp-peer.ts';
import { parseIpAndPort } from '../resources/fields.ts';
import { selects } from '../selector/selects.ts';
import { addressOf, type BgpFacts, type NodeBgp, nodeBgp, usualPort } from './bgp-facts.ts';
import type { Candidate } from './wanted-sessions.ts';

/** The peers that BGPPeers give this node: those that are meant for it, and nodes that have it as their peer. */
export function explicitPeers(facts: BgpFacts, own: NodeBgp): Candidate[] {
  const nodes = facts.nodes.flatMap((resource) => nodeBgp(facts, resource) ?? []);
  return facts.peers.flatMap((peer) => {
    const { peerSelector, peerIP, localWorkloadSelector, reversePeering } = peer.spec;
    const isOurs = appliesTo(peer, own);
    if (localWorkloadSelector !== undefined) {
      return isOurs ? workloadPeers(facts, peer, localWorkloadSelector) : [];
    }
    if (peerSelector === undefined) {
      return isOurs && peerIP !== undefined ? addressPeer({ peer, own, nodes, peerIP }) : [];
    }
    const isPeer = (node: NodeBgp) => selects(peerSelector, node.labels);
    const forward = isOurs ? nodes.filter(isPeer) : [];
    const backward =
      isPeer(own) && reversePeering !== 'Manual' ? nodes.filter((node) => appliesTo(peer, node)) : [];
    const both = new Map([...forward, ...backward].map((node) => [node.name, node]));
    both.delete(own.name);
    return [...both.values()].flatMap((node) => nodePeer(peer, own, node));
  });
}

function appliesTo({ spec }: BgpPeer, node: NodeBgp): boolean {
  if (spec.node !== undefined) return spec.node === node.name;
  return spec.nodeSelector === undefined || selects(spec.nodeSelector, node.labels);
}

/** What a BGPPeer says of each of its peers. */
function common({ metadata, spec }: BgpPeer, isExternal: boolean) {
  const nextHop = (
    {
      Auto: 'auto',
      Self: 'self',
      Keep: 'keep',
    } as const
  )[spec.nextHopMode ?? (spec.keepOriginalNextHop === true && isExternal ? 'Keep' : 'Auto')];
  return {
    origin: spec.node === undefined && spec.nodeSelector === undefined ? 'Global' : 'Node',
    from: `BGPPeer "${metadata.name}"`,
    localAsNumber: spec.localASNumber,
    password: spec.password,
    restartTime: spec.maxRestartTime,
    keepaliveTime: spec.keepaliveTime,
    nextHop,
    anySource: spec.sourceAddress === 'None',
    allowedLocalAs: spec.numAllowedLocalASNumbers,
    ttlSecurityHops: spec.ttlSecurity,
    reachableBy: spec.reachableBy,
    filters: spec.filters ?? [],
  } as const;
}

function isExternal({ spec }: BgpPeer, own: NodeBgp, asNumber: number): boolean {
  return (spec.localASNumber ?? own.asNumber) !== asNumber;
}

interface AddressPeer {
  peer: BgpPeer;
  own: NodeBgp;
  nodes: readonly NodeBgp[];
  peerIP: string;
}

function addressPeer({ peer, own, nodes, peerIP }: AddressPeer): Candidate[] {
  const { ip: text, port } = parseIpAndPort(peerIP)!;
  const ip = parseIp(text);
  const node = nodes.find((one) => addressOf(one, ip.family)?.ip.value === ip.value);
  if (node?.name === own.name) return [];
  const asNumber = peer.spec.asNumber ?? node?.asNumber ?? own.asNumber;
  return [
    {
      ...common(peer, isExternal(peer, own, asNumber)),
      ip,
      port: port ?? node?.port ?? usualPort,
      asNumber,
      ...(node !== undefined && { node }),
    },
  ];
}

function nodePeer(peer: BgpPeer, own: NodeBgp, node: NodeBgp): Candidate[] {
  const { asNumber, port } = node;
  return ([4, 6] as const).flatMap((family) => {
    const ip = addressOf(node, family)?.ip;
    if (ip === undefined || addressOf(own, family) === undefined) return [];
    return { ...common(peer, isExternal(peer, own, asNumber)), ip, port, asNumber, node };
  });
}

/** Pods of this node that speak BGP themselves. */
function workloadPeers(
  { endpoints, nodeName, pools }: BgpFacts,
  peer: BgpPeer,
  selector: string,
): Candidate[] {
  const ours = endpoints.filter(
    ({ metadata, spec }) => spec.node === nodeName && selects(selector, metadata.labels ?? {}),
  );
  return ours.flatMap(({ metadata, spec }) =>
    (spec.ipNetworks ?? []).flatMap((text) => {
      const { ip } = text.includes('/') ? parseCidr(text) : cidrOf(parseIp(text));
      if (!pools.some((pool) => contains(parseCidr(pool.spec.cidr), ip))) return [];
      return {
        ...common(peer, true),
        origin: 'Local_Workload' as const,
        from: `BGPPeer "${peer.metadata.name}" by WorkloadEndpoint "${metadata.name}"`,
        ip,
        port: usualPort,
        asNumber: peer.spec.asNumber!,
      };
    }),
  );
}
