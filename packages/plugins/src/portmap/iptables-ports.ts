import { type Cidr, cidrOf, formatCidr, type IpFamily, networkOf } from '@amphipod/netlink';
import { iptablesChainName, iptablesComment, quoteIptables } from '../lib/iptables.ts';
import type { Owner } from '../lib/owner.ts';
import { appliesTo, type PortMapping, type PortmapConfig } from './config.ts';
import { formatEndpoint, isAny } from './entries.ts';

// The reference's chains in the nat table, word for word: one for each container, which only packets to its ports enter.

export const DNAT_CHAIN = 'CNI-HOSTPORT-DNAT';
const SETMARK_CHAIN = 'CNI-HOSTPORT-SETMARK';
const MASQ_CHAIN = 'CNI-HOSTPORT-MASQ';
/** Of one multiport match. */
const PORTS_PER_RULE = 15;

export interface NatRule {
  chain: string;
  /** As iptables-save writes it, the user's conditions aside. */
  text: string;
  /** Before the rules that are there. */
  isFirst?: boolean;
}

export interface FamilyPorts {
  family: IpFamily;
  /** Chains and rules that all pods share. */
  sharedChains: string[];
  shared: NatRule[];
  /** The pod's own chain, the rules in it and those that lead there. */
  chain: string;
  rules: NatRule[];
}

/** `CNI-DN-1a2b…`, the same in both families. */
export function podChain({ network, containerID }: Pick<Owner, 'network' | 'containerID'>): string {
  return iptablesChainName(network, containerID, 'DN-');
}

/** What the nat table of a family is to hold for a pod with this address. */
export function portsFor(config: PortmapConfig, owner: Owner, pod: Cidr): FamilyPorts {
  const { family } = pod.ip;
  const chain = podChain(owner);
  const makesMark = config.snat && config.externalSetMarkChain === undefined;
  return {
    family,
    sharedChains: [DNAT_CHAIN, ...(makesMark ? [SETMARK_CHAIN, MASQ_CHAIN] : [])],
    shared: [...(makesMark ? markRules(config) : []), ...entrance('PREROUTING'), ...entrance('OUTPUT')],
    chain,
    rules: [
      ...config.mappings
        .filter((mapping) => appliesTo(mapping, family))
        .flatMap((mapping) => mappingRules(config, mapping, pod))
        .map((text) => ({ chain, text })),
      ...entryRules(config, owner, family),
    ],
  };
}

function markRules({ markBit }: PortmapConfig): NatRule[] {
  const bit = `0x${(2 ** markBit).toString(16)}`;
  const mark = `${bit}/${bit}`;
  return [
    {
      chain: SETMARK_CHAIN,
      text: `${iptablesComment('CNI portfwd masquerade mark')} -j MARK --set-xmark ${mark}`,
    },
    { chain: MASQ_CHAIN, text: `-m mark --mark ${mark} -j MASQUERADE` },
    // Masquerading of whole pods comes behind: it would end the way of the packets before.
    {
      chain: 'POSTROUTING',
      text: `${iptablesComment('CNI portfwd requiring masquerade')} -j ${MASQ_CHAIN}`,
      isFirst: true,
    },
  ];
}

function entrance(chain: string): NatRule[] {
  return [{ chain, text: `-m addrtype --dst-type LOCAL -j ${DNAT_CHAIN}` }];
}

/** What is to be masqueraded gets its mark first. */
function mappingRules(config: PortmapConfig, mapping: PortMapping, pod: Cidr): string[] {
  const { hostIp, hostPort, containerPort, protocol } = mapping;
  const isIpv4 = pod.ip.family === 4;
  const to = isAny(hostIp) ? '' : `-d ${formatCidr(cidrOf(hostIp))} `;
  const base = `${to}-p ${protocol} -m ${protocol} --dport ${hostPort}`;
  const mark = `-j ${quoteIptables(config.externalSetMarkChain ?? SETMARK_CHAIN)}`;
  const sources = config.masqAll
    ? ['']
    : [`-s ${formatCidr(networkOf(pod))} `, ...(isIpv4 ? ['-s 127.0.0.1/32 '] : [])];
  return [
    ...(config.snat ? sources.map((from) => `${from}${base} ${mark}`) : []),
    `${base} -j DNAT --to-destination ${formatEndpoint(pod.ip, containerPort)}`,
  ];
}

function entryRules({ mappings, conditions }: PortmapConfig, owner: Owner, family: IpFamily): NatRule[] {
  const comment = entryComment(owner);
  const more = conditions[family].map((word) => `${quoteIptables(word)} `).join('');
  const byProtocol = Map.groupBy(mappings, ({ protocol }) => protocol);
  return [...byProtocol].sort().flatMap(([protocol, list]) =>
    chunks(list.map(({ hostPort }) => hostPort)).map((ports) => ({
      chain: DNAT_CHAIN,
      text: `-p ${protocol} ${comment} -m multiport --dports ${ports.join(',')} ${more}-j ${podChain(owner)}`,
    })),
  );
}

function entryComment({ network, containerID }: Owner): string {
  return iptablesComment(`dnat name: "${network}" id: "${containerID}"`);
}

function chunks(ports: readonly number[]): number[][] {
  const count = Math.ceil(ports.length / PORTS_PER_RULE);
  return Array.from({ length: count }, (_, i) => ports.slice(i * PORTS_PER_RULE, (i + 1) * PORTS_PER_RULE));
}
