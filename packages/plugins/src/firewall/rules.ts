import { CniError, type Result } from '@amphipod/cni';
import {
  cidrOf,
  formatCidr,
  type IpAddress,
  type IpFamily,
  ipToBytes,
  type NftExpression,
  nft,
  parseCidr,
  xt,
} from '@amphipod/netlink';
import { iptablesComment } from '../lib/iptables.ts';
import type { FirewallConfig } from './config.ts';

// The reference's chains, word for word: an accept rule only helps in the very chain that drops, and both implementations
// and the administrator find them there. Each rule has two forms that mean the same.

export const FORWARD = 'FORWARD';
export const POD_CHAIN = 'CNI-FORWARD';
const STAGE_1 = 'CNI-ISOLATION-STAGE-1';
const STAGE_2 = 'CNI-ISOLATION-STAGE-2';
const RULES_COMMENT = 'CNI firewall plugin rules';
const ADMIN_COMMENT = 'CNI firewall plugin admin overrides';
/** In every rule that pods share. */
export const SHARED_COMMENT = 'CNI firewall plugin ';

export interface FirewallRule {
  chain: string;
  /** As iptables-save writes it, behind the chain. */
  text: string;
  /** As iptables-nft writes it. */
  expressions: NftExpression[];
}

/** A rule that all pods share. */
export interface SharedRule extends FirewallRule {
  place: 'start' | 'end';
  /** Goes right behind this one where that is there. */
  behind?: FirewallRule;
}

/** A rule of a pod's own. */
export interface PodRule extends FirewallRule {
  /** The pod's address as it stands in the rule. */
  bytes: Buffer;
}

/** What one family's filter table is to hold for a pod. */
export interface FamilyRules {
  family: IpFamily;
  /** Chains that the shared rules are in or lead to, FORWARD aside. */
  chains: string[];
  shared: SharedRule[];
  pod: PodRule[];
}

/** For each family that the pod has addresses of. @throws CniError when there is no bridge to isolate */
export function rulesFor(result: Result, config: FirewallConfig): FamilyRules[] {
  const { adminChain, ingressPolicy } = config;
  const isolation = ingressPolicy === 'open' ? [] : isolationRules(bridgeOf(result, config), ingressPolicy);
  const [toStage1] = isolation;
  const toPodChain: SharedRule = {
    ...jumpRule(FORWARD, POD_CHAIN, RULES_COMMENT),
    place: 'start',
    behind: jumpToStage1(),
  };
  const shared: SharedRule[] = [
    toPodChain,
    { ...jumpRule(POD_CHAIN, adminChain, ADMIN_COMMENT), place: 'start' },
    ...isolation,
  ];
  const chains = [POD_CHAIN, adminChain, ...(toStage1 === undefined ? [] : [STAGE_1, STAGE_2])];
  const byFamily = Map.groupBy(addressesOf(result), ({ family }) => family);
  return [...byFamily].map(([family, ips]) => ({ family, chains, shared, pod: ips.flatMap(podRules) }));
}

/** Without what lets pods through, for a backend that does that in another way. */
export function isolationOnly({ family, shared }: FamilyRules): FamilyRules {
  const isIsolation = ({ text }: FirewallRule) => text.includes('ingressPolicy: ');
  return { family, chains: [STAGE_1, STAGE_2], shared: shared.filter(isIsolation), pod: [] };
}

/** All addresses of the result, as the reference takes them. */
export function addressesOf({ ips = [] }: Result): IpAddress[] {
  return ips.map(({ address }) => parseCidr(address).ip);
}

/** Answers to the pod, and everything from it. */
export function podRules(ip: IpAddress): PodRule[] {
  const { saddr, daddr } = ip.family === 4 ? nft.ip : nft.ip6;
  const { established, related } = nft.ctStates;
  const host = hostCidr(ip);
  const common = { chain: POD_CHAIN, bytes: ipToBytes(ip) };
  const accept = [nft.counter(), nft.verdict('accept')];
  return [
    {
      ...common,
      text: `-d ${host} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT`,
      expressions: [...nft.eq(daddr, ip), xt.ctState(established | related), ...accept],
    },
    { ...common, text: `-s ${host} -j ACCEPT`, expressions: [...nft.eq(saddr, ip), ...accept] },
  ];
}

/** `10.0.0.2/32`, `fd00::2/128`. */
export function hostCidr(ip: IpAddress): string {
  return formatCidr(cidrOf(ip));
}

function bridgeOf({ interfaces = [] }: Result, { ingressPolicy }: FirewallConfig): string {
  const name = interfaces[0]?.name;
  if (name !== undefined && name !== '') return name;
  throw new CniError(
    'invalid-network-config',
    `interface needs to be set for ingress policy ${JSON.stringify(ingressPolicy)}, make sure to chain "firewall" plugin with "bridge"`,
  );
}

/**
 * Between bridges nothing passes: what leaves one for another interface goes through stage 2, which drops it when that is a
 * bridge too. `isolated` also drops what stays on the bridge.
 */
function isolationRules(bridge: string, policy: 'same-bridge' | 'isolated'): SharedRule[] {
  const policyComment = `${RULES_COMMENT} (ingressPolicy: ${policy})`;
  const toOther = rule(STAGE_1, {
    match: `-i ${bridge} ! -o ${bridge}`,
    expressions: [...xt.inInterface(bridge), ...xt.outInterface(bridge, '!=')],
    comment: policyComment,
    target: STAGE_2,
  });
  const within = rule(STAGE_1, {
    match: `-i ${bridge} -o ${bridge}`,
    expressions: [...xt.inInterface(bridge), ...xt.outInterface(bridge)],
    comment: policyComment,
    target: 'DROP',
  });
  const toBridge = rule(STAGE_2, {
    match: `-o ${bridge}`,
    expressions: xt.outInterface(bridge),
    comment: BOTH_POLICIES,
    target: 'DROP',
  });
  return [
    { ...jumpToStage1(), place: 'start' },
    { ...toOther, place: 'start' },
    ...(policy === 'isolated' ? [{ ...within, place: 'start' } as const] : []),
    { ...rule(STAGE_1, { comment: BOTH_POLICIES, target: 'RETURN' }), place: 'end' },
    { ...toBridge, place: 'start' },
    { ...rule(STAGE_2, { comment: BOTH_POLICIES, target: 'RETURN' }), place: 'end' },
  ];
}

const BOTH_POLICIES = `${RULES_COMMENT} (ingressPolicy: same-bridge|isolated)`;

function jumpToStage1(): FirewallRule {
  return jumpRule(FORWARD, STAGE_1, BOTH_POLICIES);
}

function jumpRule(chain: string, target: string, comment: string): FirewallRule {
  return rule(chain, { comment, target });
}

interface RuleParts {
  match?: string;
  expressions?: NftExpression[];
  comment: string;
  /** `DROP`, `RETURN` or a chain. */
  target: string;
}

function rule(chain: string, { match, expressions = [], comment, target }: RuleParts): FirewallRule {
  const verdict =
    target === 'DROP' ? nft.verdict('drop') : target === 'RETURN' ? nft.verdict('return') : nft.jump(target);
  return {
    chain,
    text: `${match === undefined ? '' : `${match} `}${iptablesComment(comment)} -j ${target}`,
    expressions: [...expressions, xt.comment(comment), nft.counter(), verdict],
  };
}
