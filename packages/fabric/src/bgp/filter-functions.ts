import { createHash } from 'node:crypto';
import { type Cidr, type IpFamily, ipBits, networkOf, parseCidr } from '@amphipod/netlink';
import type { BgpFilter, BgpFilterOperation, BgpFilterRule } from '../resources/bgp-filter.ts';
import type { BirdCondition, BirdFunction, BirdStatement } from './bird-config.ts';
import { localPrefOf } from './local-pref.ts';

/** BIRD's bound for names. */
const MAX_NAME = 64;
const HASH_LENGTH = 16;

export type FilterDirection = 'import' | 'export';

const keys = {
  import: { 4: 'importV4', 6: 'importV6' },
  export: { 4: 'exportV4', 6: 'exportV6' },
} as const;

/** The name of the function that a filter becomes, as Calico has it: `bgp_NAME_importFilterV4`. */
export function filterFunctionName(name: string, direction: FilterDirection, family: IpFamily): string {
  const whole = `bgp_${name}_${direction}FilterV${family}`;
  if (whole.length <= MAX_NAME) return whole;
  const hash = createHash('sha256').update(name).digest('hex').slice(0, HASH_LENGTH);
  const room = MAX_NAME - whole.length + name.length - HASH_LENGTH - 1;
  return `bgp_${name.slice(0, room)}_${hash}_${direction}FilterV${family}`;
}

/** The functions of a filter: for each direction and family one that decides on what a rule is about, and nothing else. */
export function filterFunctions({ metadata, spec }: BgpFilter): BirdFunction[] {
  return (['import', 'export'] as const).flatMap((direction) =>
    ([4, 6] as const).flatMap((family) => {
      const rules = spec[keys[direction][family]];
      if (rules === undefined) return [];
      const name = filterFunctionName(metadata.name, direction, family);
      const body = rules.map((rule, i) =>
        ruleStatement(rule, `rule ${i + 1} of ${direction}V${family} of BGPFilter "${metadata.name}"`),
      );
      return { name, knowsPeer: true, body };
    }),
  );
}

/** Whether a filter says anything on routes of this direction and family. */
export function hasRules({ spec }: BgpFilter, direction: FilterDirection, family: IpFamily): boolean {
  return spec[keys[direction][family]] !== undefined;
}

function ruleStatement(rule: BgpFilterRule, why: string): BirdStatement {
  const conditions = ruleConditions(rule);
  const body: BirdStatement[] = [
    ...(rule.operations ?? []).flatMap(operationStatements),
    { do: rule.action === 'Accept' ? 'accept' : 'reject', why },
  ];
  return { do: 'if', condition: allOf(conditions), body };
}

function allOf(conditions: readonly BirdCondition[]): BirdCondition {
  if (conditions.length === 0) return { is: 'always' };
  return conditions.length === 1 ? conditions[0]! : { is: 'all', of: conditions };
}

function ruleConditions(rule: BgpFilterRule): BirdCondition[] {
  const { peerType, source, priority, asPathPrefix } = rule;
  const [community] = rule.communities?.values ?? [];
  const isSameAs: BirdCondition = { is: 'same-as' };
  return [
    ...(peerType === undefined
      ? []
      : [peerType === 'iBGP' ? isSameAs : ({ is: 'not', of: isSameAs } as const)]),
    ...networkConditions(rule),
    ...(source === undefined ? [] : [{ is: 'source', source: 'bgp' } as const]),
    ...(rule.interface === undefined ? [] : [{ is: 'interface', pattern: rule.interface } as const]),
    ...(community === undefined ? [] : [{ is: 'community', community } as const]),
    ...(asPathPrefix === undefined ? [] : [{ is: 'as-path-prefix', path: asPathPrefix } as const]),
    ...(priority === undefined ? [] : [{ is: 'local-pref', value: localPrefOf(priority) } as const]),
  ];
}

function networkConditions({ cidr, matchOperator, prefixLength }: BgpFilterRule): BirdCondition[] {
  if (cidr === undefined) return [];
  const network = networkOf(parseCidr(cidr));
  const isNegated = matchOperator === 'NotEqual' || matchOperator === 'NotIn';
  const condition =
    matchOperator === 'In' || matchOperator === 'NotIn'
      ? withinCondition(network, prefixLength)
      : equalCondition(network, prefixLength);
  return [isNegated ? { is: 'not', of: condition } : condition];
}

type Lengths = BgpFilterRule['prefixLength'];

function withinCondition(network: Cidr, lengths: Lengths): BirdCondition {
  if (lengths === undefined) return { is: 'within', network };
  // BIRD takes a shorter length than the network's own for networks around it.
  const min = Math.max(lengths.min ?? 0, network.prefix);
  const max = lengths.max ?? ipBits(network.ip.family);
  return min > max ? { is: 'never' } : { is: 'within', network, min, max };
}

function equalCondition(network: Cidr, lengths: Lengths): BirdCondition {
  const { min = 0, max = ipBits(network.ip.family) } = lengths ?? {};
  return network.prefix < min || network.prefix > max ? { is: 'never' } : { is: 'network', network };
}

function operationStatements({
  addCommunity,
  prependASPath,
  setPriority,
}: BgpFilterOperation): BirdStatement[] {
  if (addCommunity !== undefined) return [{ do: 'add-community', community: addCommunity.value }];
  if (setPriority !== undefined) return [{ do: 'set-local-pref', value: localPrefOf(setPriority.value) }];
  // The path grows in front: its last number goes first.
  return (prependASPath?.prefix ?? []).toReversed().map((asNumber) => ({ do: 'prepend-as', asNumber }));
}
