import type { IpFamily } from '@amphipod/netlink';
import { asNumber, cidr, community, interfacePattern } from './fields.ts';
import { type Resource, resource } from './metadata.ts';
import { type Place, placeOf, refusal } from './place.ts';
import {
  integer,
  list,
  nullable,
  type ObjectOf,
  object,
  oneOf,
  optional,
  required,
  type ValueOf,
} from './schema.ts';

const MAX_PRIORITY = 2_147_483_646;
const MAX_OPERATIONS = 10;
const IPV4_BITS = 32;
const IPV6_BITS = 128;

const priority = integer(1, MAX_PRIORITY);

const operation = object(
  {
    addCommunity: nullable(object({ value: required(community) })),
    prependASPath: nullable(object({ prefix: required(list(asNumber)) })),
    setPriority: nullable(object({ value: required(priority) })),
  },
  (value, place) => {
    const keys = Object.keys(value);
    if (keys.length !== 1) throw refusal(place, keys, 'must have just one of the operations');
  },
);

/** A change of the routes that a rule accepts. Just one of its keys is there. */
export type BgpFilterOperation = ValueOf<typeof operation>;

const ruleFields = (family: IpFamily) => {
  const bits = integer(0, family === 4 ? IPV4_BITS : IPV6_BITS);
  return {
    /** Compared with the route's prefix as `matchOperator` says. */
    cidr: optional(cidr(family)),
    /** Prefix lengths that match; both ends included. */
    prefixLength: nullable(object({ min: nullable(bits), max: nullable(bits) })),
    /** For export: only routes that were learned from other peers. */
    source: optional(oneOf('RemotePeers')),
    /** `*` for any characters. */
    interface: optional(interfacePattern),
    matchOperator: optional(oneOf('Equal', 'NotEqual', 'In', 'NotIn')),
    peerType: optional(oneOf('eBGP', 'iBGP')),
    /** Exactly one value. */
    communities: nullable(object({ values: required(list(community)) })),
    /** The AS path begins with these. */
    asPathPrefix: optional(list(asNumber)),
    /** The route's metric. */
    priority: nullable(priority),
    action: required(oneOf('Accept', 'Reject')),
    /** In this order, only for Accept. */
    operations: optional(list(operation)),
  };
};

/** A rule of a filter: what a route must be like, and what becomes of it. The first one that matches decides. */
export type BgpFilterRule = ObjectOf<ReturnType<typeof ruleFields>>;

const rules = (family: IpFamily) => optional(list(object(ruleFields(family), checkRule)));

const fields = { exportV4: rules(4), importV4: rules(4), exportV6: rules(6), importV6: rules(6) };

export type BgpFilterSpec = ObjectOf<typeof fields>;
export type BgpFilter = Resource<'BGPFilter', BgpFilterSpec>;

/** Which routes are taken from peers and told to them. */
export const bgpFilter = resource('BGPFilter', object(fields));

function checkRule(rule: BgpFilterRule, place: Place): void {
  const at = (key: keyof BgpFilterRule) => placeOf(place, key);
  if (rule.cidr === undefined) {
    if (rule.matchOperator !== undefined)
      throw refusal(at('cidr'), undefined, 'must be given with matchOperator');
    if (rule.prefixLength !== undefined)
      throw refusal(at('cidr'), undefined, 'must be given with prefixLength');
  } else if (rule.matchOperator === undefined) {
    throw refusal(at('matchOperator'), undefined, 'must be given with cidr');
  }
  const { min, max } = rule.prefixLength ?? {};
  if (min !== undefined && max !== undefined && min > max) {
    throw refusal(at('prefixLength'), rule.prefixLength, 'min is more than max');
  }
  if (rule.communities !== undefined && rule.communities.values.length !== 1) {
    throw refusal(placeOf(at('communities'), 'values'), rule.communities.values, 'must be exactly one');
  }
  checkOperations(rule, at('operations'));
}

function checkOperations({ operations = [], action }: BgpFilterRule, place: Place): void {
  if (operations.length === 0) return;
  if (action !== 'Accept') throw refusal(place, undefined, 'can be only where action is Accept');
  if (operations.length > MAX_OPERATIONS)
    throw refusal(place, undefined, `must be at most ${MAX_OPERATIONS}`);
  for (const [i, { prependASPath }] of operations.entries()) {
    const length = prependASPath?.prefix.length ?? 1;
    if (length >= 1 && length <= MAX_OPERATIONS) continue;
    const here = placeOf(placeOf(placeOf(place, i), 'prependASPath'), 'prefix');
    throw refusal(here, prependASPath?.prefix, `must be 1 to ${MAX_OPERATIONS} AS numbers`);
  }
}
