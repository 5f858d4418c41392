import { type IpFamily, type NftExpression, type NftSelector, nft } from '@amphipod/netlink';
import type { IcmpMatch, PortMatch } from '../documents/resources.ts';
import type { MergedEntity, MergedRule } from './merge-rules.ts';
import { families } from './policy-table.ts';
import { blockRanges, isEverything, portRanges, type Range } from './ranges.ts';
import type { SetDefinition } from './rule-sets.ts';

type Expressions = readonly NftExpression[];
/** Makes sure that there is such a set, and gives its name. */
export type UseSet = (definition: SetDefinition) => string;

export interface CompileContext {
  family: IpFamily;
  useSet: UseSet;
}

/**
 * What a packet is compared with, as expressions that end the rule unless they hold. More than one list where the rule has
 * alternatives that no single rule of nftables can have; none when nothing of the family can match.
 */
export function compileMatches(rule: MergedRule, context: CompileContext): Expressions[] {
  const { ipVersion, protocol, notProtocol, icmp, notIcmp } = rule;
  if (ipVersion !== undefined && ipVersion !== context.family) return [];
  const l4proto = nft.meta.l4proto;
  const fixed: Expressions = [
    ...(protocol === undefined ? [] : nft.eq(l4proto, protocol)),
    ...(notProtocol === undefined ? [] : nft.ne(l4proto, notProtocol)),
  ];
  const parts: Expressions[][] = [
    icmp === undefined ? [[]] : icmpMatches(icmp),
    notIcmp === undefined ? [[]] : notIcmpMatches(notIcmp),
    ...portMatches(rule, context),
    addressMatches(rule.source, { ...context, end: 'source' }),
    addressMatches(rule.destination, { ...context, end: 'destination' }),
  ];
  // Each alternative of one part with each of the others.
  return parts.reduce<Expressions[]>(
    (lists, part) => lists.flatMap((list) => part.map((more) => [...list, ...more])),
    [fixed],
  );
}

const icmpCode: NftSelector = {
  type: 'icmp_type',
  load: (register) => ({ expr: 'payload', base: 'transport', offset: 1, length: 1, register }),
};

function icmpMatches({ type, code }: IcmpMatch): Expressions[] {
  return [
    [
      ...(type === undefined ? [] : nft.eq(nft.icmp.type, type)),
      ...(code === undefined ? [] : nft.eq(icmpCode, code)),
    ],
  ];
}

/** Another type, or the type with another code. */
function notIcmpMatches({ type, code }: IcmpMatch): Expressions[] {
  if (type === undefined) return [];
  const otherType = nft.ne(nft.icmp.type, type);
  return code === undefined
    ? [otherType]
    : [otherType, [...nft.eq(nft.icmp.type, type), ...nft.ne(icmpCode, code)]];
}

interface EndContext extends CompileContext {
  end: 'source' | 'destination';
}

function addressOf({ family, end }: EndContext): NftSelector {
  const { saddr, daddr } = families[family];
  return end === 'source' ? saddr : daddr;
}

/** Addresses have no alternatives: what is alternative is in one set. */
function addressMatches(entity: MergedEntity, context: EndContext): Expressions[] {
  const { family, useSet } = context;
  const { selectors, notSelector, nets, notNets } = entity;
  const address = addressOf(context);
  const list: NftExpression[] = [];
  if (nets !== undefined) {
    const ranges = blockRanges(nets, family);
    if (ranges.length === 0) return [];
    if (!isEverything(ranges[0]!)) {
      const only = nets.filter(({ cidr }) => cidr.ip.family === family);
      const isPlain = only.length === 1 && only[0]!.except.length === 0;
      list.push(
        ...(isPlain
          ? nft.eq(address, only[0]!.cidr)
          : nft.inSet(address, useSet({ holds: 'addresses', family, ranges }))),
      );
    }
  }
  const excluded = blockRanges(
    (notNets ?? []).map((cidr) => ({ cidr, except: [] })),
    family,
  );
  if (excluded.length > 0) {
    list.push(...nft.notInSet(address, useSet({ holds: 'addresses', family, ranges: excluded })));
  }
  if (selectors !== undefined) {
    list.push(...nft.inSet(address, useSet({ holds: 'members', family, selectors })));
  }
  if (notSelector !== undefined) {
    list.push(...nft.notInSet(address, useSet({ holds: 'members', family, selectors: [notSelector] })));
  }
  return [list];
}

/** Ports of both ends, with those that must not be. */
function portMatches(rule: MergedRule, context: CompileContext): Expressions[][] {
  return (['source', 'destination'] as const).flatMap((end) => {
    const port = end === 'source' ? nft.th.sport : nft.th.dport;
    const { ports, notPorts, selectors } = rule[end];
    const { family, useSet } = context;
    const address = addressOf({ ...context, end });
    // Whose port it is: of anything where nobody is selected.
    const named = (name: string): SetDefinition => ({
      holds: 'named-port',
      family,
      selectors: selectors ?? [{ is: 'all' }],
      protocol: rule.protocol!,
      port: name,
    });
    const key = [address, nft.meta.l4proto, port];
    const parts: Expressions[][] = [];
    if (ports !== undefined) {
      const { ranges, names } = splitPorts(ports);
      parts.push([
        ...(ranges.length === 0 ? [] : [inPorts(port, ranges, useSet)]),
        ...names.map((name) => nft.inSet(key, useSet(named(name)))),
      ]);
    }
    if (notPorts !== undefined) {
      const { ranges, names } = splitPorts(notPorts);
      parts.push([
        [
          ...(ranges.length === 0 ? [] : nft.notInSet(port, useSet({ holds: 'ports', ranges }))),
          ...names.flatMap((name) => nft.notInSet(key, useSet(named(name)))),
        ],
      ]);
    }
    return parts;
  });
}

function inPorts(port: NftSelector, ranges: readonly Range<number>[], useSet: UseSet): Expressions {
  const [first, second] = ranges;
  if (second !== undefined) return nft.inSet(port, useSet({ holds: 'ports', ranges }));
  return first!.first === first!.last
    ? nft.eq(port, first!.first)
    : nft.inRange(port, first!.first, first!.last);
}

function splitPorts(list: readonly PortMatch[]): { ranges: Range<number>[]; names: string[] } {
  return {
    ranges: portRanges(list.flatMap((one) => ('name' in one ? [] : [one]))),
    names: [...new Set(list.flatMap((one) => ('name' in one ? [one.name] : [])))],
  };
}
