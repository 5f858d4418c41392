import { formatCidr, networkOf, overlaps, parseCidr } from '@amphipod/netlink';
import { cidr, selector } from './fields.ts';
import type { Resource } from './metadata.ts';
import { resource } from './metadata.ts';
import { type Place, placeOf, refusal } from './place.ts';
import { flag, integer, list, nullable, type ObjectOf, object, oneOf, optional, required } from './schema.ts';

const IPV4_BLOCK = { usual: 26, min: 20, max: 32 };
const IPV6_BLOCK = { usual: 122, min: 116, max: 128 };
const LINK_LOCAL = ['169.254.0.0/16', 'fe80::/10'].map(parseCidr);

const encapsulation = oneOf('Never', 'Always', 'CrossSubnet');

const fields = {
  /** The addresses; cannot be changed. */
  cidr: required(cidr()),
  vxlanMode: optional(encapsulation),
  /** Not for IPv6. */
  ipipMode: optional(encapsulation),
  /** Masquerade what pods send to addresses outside of all pools. */
  natOutgoing: optional(flag),
  /** No new addresses. */
  disabled: optional(flag),
  disableBGPExport: optional(flag),
  /** Prefix length of a block, 20 to 32 (26) or 116 to 128 (122); cannot be changed. */
  blockSize: optional(integer(0, 128)),
  /** Nodes that may use the pool; `all()` unless given. */
  nodeSelector: optional(selector),
  namespaceSelector: optional(selector),
  /** `[Workload, Tunnel]` unless given. */
  allowedUses: optional(list(oneOf('Workload', 'Tunnel', 'LoadBalancer'))),
  /** Manual: only for those who ask for the pool. `Automatic` unless given. */
  assignmentMode: nullable(oneOf('Automatic', 'Manual')),
};

export type IpPoolSpec = ObjectOf<typeof fields>;
export type IpPool = Resource<'IPPool', IpPoolSpec>;

/** Addresses for pods and tunnels. */
export const ipPool = resource('IPPool', object(fields, check));

function check(spec: IpPoolSpec, place: Place): void {
  const pool = parseCidr(spec.cidr);
  const at = (key: keyof IpPoolSpec) => placeOf(place, key);
  if (formatCidr(networkOf(pool)) !== formatCidr(pool)) {
    throw refusal(
      at('cidr'),
      spec.cidr,
      `has bits behind its prefix; the network is ${formatCidr(networkOf(pool))}`,
    );
  }
  const linkLocal = LINK_LOCAL.find((range) => range.ip.family === pool.ip.family && overlaps(range, pool));
  if (linkLocal !== undefined) {
    throw refusal(at('cidr'), spec.cidr, `overlaps the link-local range ${formatCidr(linkLocal)}`);
  }
  checkBlockSize(spec, at);
  const ipip = isEncapsulated(spec.ipipMode);
  if (ipip && isEncapsulated(spec.vxlanMode)) {
    throw refusal(at('vxlanMode'), spec.vxlanMode, `cannot be with ipipMode ${spec.ipipMode}: choose one`);
  }
  if (ipip && pool.ip.family === 6) throw refusal(at('ipipMode'), spec.ipipMode, 'there is no IPIP for IPv6');
  for (const key of ['nodeSelector', 'namespaceSelector'] as const) {
    if (spec[key]?.includes('global(')) throw refusal(at(key), spec[key], 'global() has no meaning here');
  }
  checkUses(spec, at);
}

function checkBlockSize(spec: IpPoolSpec, at: (key: keyof IpPoolSpec) => Place): void {
  const { ip, prefix } = parseCidr(spec.cidr);
  const { usual, min, max } = ip.family === 4 ? IPV4_BLOCK : IPV6_BLOCK;
  const blockSize = spec.blockSize ?? usual;
  if (blockSize < min || blockSize > max) {
    throw refusal(at('blockSize'), spec.blockSize, `must be from ${min} to ${max} for IPv${ip.family}`);
  }
  if (prefix > blockSize && spec.disabled !== true) {
    throw refusal(at('cidr'), spec.cidr, `is smaller than a block, /${blockSize}`);
  }
}

function checkUses(spec: IpPoolSpec, at: (key: keyof IpPoolSpec) => Place): void {
  const uses = spec.allowedUses ?? [];
  if (uses.includes('Tunnel') && spec.namespaceSelector !== undefined) {
    throw refusal(at('namespaceSelector'), spec.namespaceSelector, 'cannot be with the use Tunnel');
  }
  if (!uses.includes('LoadBalancer')) return;
  if (uses.length > 1) throw refusal(at('allowedUses'), uses, 'LoadBalancer must be the only use');
  for (const key of ['ipipMode', 'vxlanMode'] as const) {
    if (isEncapsulated(spec[key]))
      throw refusal(at(key), spec[key], 'must be Never for the use LoadBalancer');
  }
  if (spec.disableBGPExport)
    throw refusal(at('disableBGPExport'), true, 'cannot be with the use LoadBalancer');
  if ((spec.nodeSelector ?? 'all()') !== 'all()') {
    throw refusal(at('nodeSelector'), spec.nodeSelector, 'must be all() for the use LoadBalancer');
  }
}

function isEncapsulated(mode: string | undefined): boolean {
  return (mode ?? 'Never') !== 'Never';
}

/** The pool with all that was not given written out, as Calico does. */
export function withPoolDefaults(
  pool: IpPool,
): IpPool & { spec: Required<Omit<IpPoolSpec, 'namespaceSelector'>> } {
  const { spec } = pool;
  const usual = parseCidr(spec.cidr).ip.family === 6 ? IPV6_BLOCK.usual : IPV4_BLOCK.usual;
  return {
    ...pool,
    spec: {
      cidr: spec.cidr,
      vxlanMode: spec.vxlanMode ?? 'Never',
      ipipMode: spec.ipipMode ?? 'Never',
      natOutgoing: spec.natOutgoing ?? false,
      disabled: spec.disabled ?? false,
      disableBGPExport: spec.disableBGPExport ?? false,
      blockSize: spec.blockSize ?? usual,
      nodeSelector: spec.nodeSelector ?? 'all()',
      ...(spec.namespaceSelector !== undefined && { namespaceSelector: spec.namespaceSelector }),
      allowedUses: spec.allowedUses ?? ['Workload', 'Tunnel'],
      assignmentMode: spec.assignmentMode ?? 'Automatic',
    },
  };
}
