import { tryParseIp } from '@amphipod/netlink';
import { bgpPassword } from './bgp-configuration.ts';
import { asNumber, duration, ipAddress, ipAndPort, objectName, parseIpAndPort, selector } from './fields.ts';
import { type Resource, resource } from './metadata.ts';
import { type Place, placeOf, refusal } from './place.ts';
import { flag, integer, list, nullable, type ObjectOf, object, oneOf, optional } from './schema.ts';

const MAX_INT32 = 2 ** 31 - 1;
const MAX_HOPS = 255;

const fields = {
  /** Of the node that has this peer; with neither this nor `nodeSelector` all nodes have it. */
  node: optional(objectName),
  nodeSelector: optional(selector),
  /** ADDRESS, ADDRESS:PORT or [IPV6]:PORT. */
  peerIP: optional(ipAndPort),
  /** Of the peer. */
  asNumber: optional(asNumber),
  /** In the place of the node's. */
  localASNumber: nullable(asNumber),
  /** The peers are the nodes with these labels. */
  peerSelector: optional(selector),
  /** Deprecated: `nextHopMode: Keep`. */
  keepOriginalNextHop: optional(flag),
  nextHopMode: nullable(oneOf('Auto', 'Self', 'Keep')),
  password: nullable(bgpPassword),
  /** UseNodeIP unless given. */
  sourceAddress: optional(oneOf('UseNodeIP', 'None')),
  maxRestartTime: nullable(duration),
  keepaliveTime: nullable(duration),
  /** How often the node's own AS number may stand in an AS path. */
  numAllowedLocalASNumbers: nullable(integer(0, MAX_INT32)),
  /** Hops to the peer; the TTL of its packets must say so. */
  ttlSecurity: nullable(integer(0, MAX_HOPS)),
  /** The gateway to the peer, for a static route. */
  reachableBy: optional(ipAddress()),
  /** Names of BGPFilters, asked in this order. */
  filters: optional(list(objectName)),
  localWorkloadSelector: optional(selector),
  /** Auto: the nodes of `peerSelector` have these nodes as their peers. Auto unless given. */
  reversePeering: nullable(oneOf('Auto', 'Manual')),
};

export type BgpPeerSpec = ObjectOf<typeof fields>;
export type BgpPeer = Resource<'BGPPeer', BgpPeerSpec>;

/** Whom nodes exchange routes with. */
export const bgpPeer = resource('BGPPeer', object(fields, check));

/** Keys that exclude each other, with the reason. */
const EXCLUSIVE: readonly [keyof BgpPeerSpec, keyof BgpPeerSpec][] = [
  ['node', 'nodeSelector'],
  ['peerIP', 'peerSelector'],
  ['asNumber', 'peerSelector'],
  ['peerIP', 'localWorkloadSelector'],
  ['peerSelector', 'localWorkloadSelector'],
  ['keepOriginalNextHop', 'nextHopMode'],
];

function check(spec: BgpPeerSpec, place: Place): void {
  for (const [one, other] of EXCLUSIVE) {
    if (spec[one] === undefined || spec[other] === undefined) continue;
    throw refusal(placeOf(place, other), spec[other], `cannot be with ${one}`);
  }
  if (spec.localWorkloadSelector !== undefined && spec.asNumber === undefined) {
    throw refusal(placeOf(place, 'asNumber'), undefined, 'must be given with localWorkloadSelector');
  }
  if (spec.reachableBy === undefined) return;
  const here = placeOf(place, 'reachableBy');
  if (spec.peerIP === undefined) throw refusal(here, spec.reachableBy, 'cannot be without peerIP');
  if (familyOf(parseIpAndPort(spec.peerIP)!.ip) !== familyOf(spec.reachableBy)) {
    throw refusal(here, spec.reachableBy, `is of another address family than peerIP ${spec.peerIP}`);
  }
}

function familyOf(ip: string): number | undefined {
  return tryParseIp(ip)?.family;
}
