import {
  formatIp,
  type IpAddress,
  type IpFamily,
  type NftElement,
  type NftMap,
  type NftOp,
  type NftSet,
} from '@amphipod/netlink';
import type { CompiledChain } from './compile-program.ts';
import type { DispatchEntry, RuleChanges, WantedRules } from './engine.ts';
import {
  dispatchMap,
  ipFamilies,
  policyTable,
  selfSet,
  skeletonOps,
  type TableOptions,
} from './policy-table.ts';

/** The whole table anew, in place of whatever is there, as steps of one transaction. */
export function tableOps(
  { sets, chains, dispatch, own }: WantedRules,
  options: TableOptions = { isStrict: false },
): NftOp[] {
  return [
    // Added first so that there is something to delete.
    { op: 'add', object: 'table', ...policyTable },
    { op: 'delete', object: 'table', ...policyTable },
    ...skeletonOps(options),
    ...sets.flatMap(({ set, added }) => newSet(set, added)),
    ...newChains(chains),
    ...dispatchOps('add', dispatch),
    ...selfOps('add', own),
  ];
}

/** The least that makes the rules of before those of after, as steps of one transaction; empty when nothing has changed. */
export function changeOps({ sets, chains, dispatch, own }: RuleChanges): NftOp[] {
  const ways = withoutBoth(dispatch, ({ direction, ip, chain }) => `${direction} ${formatIp(ip)} ${chain}`);
  const addresses = withoutBoth(own, formatIp);
  return [
    ...sets.added.flatMap(({ set, added: elements }) => newSet(set, elements)),
    // Ranges that go may overlap those that come.
    ...sets.changed.flatMap(({ set, removed: elements }) => elementOps('delete', set, elements)),
    ...sets.changed.flatMap(({ set, added: elements }) => elementOps('add', set, elements)),
    ...newChains(chains.added),
    ...dispatchOps('delete', ways.removed),
    ...dispatchOps('add', ways.added),
    ...selfOps('delete', addresses.removed),
    ...selfOps('add', addresses.added),
    // The way to a chain goes first, then its rules, which refer to other chains and to sets.
    ...chains.removed.map((chain) => ({ op: 'flush', object: 'chain', ...policyTable, chain }) as const),
    ...chains.removed.map((chain) => ({ op: 'delete', object: 'chain', ...policyTable, chain }) as const),
    ...sets.removed.map(({ set }) => ({ op: 'delete', object: 'set', ...policyTable, set }) as const),
  ];
}

/** What an address that goes from one pod to another leaves as it was. */
function withoutBoth<T>(
  { removed, added }: { removed: readonly T[]; added: readonly T[] },
  text: (one: T) => string,
): { removed: T[]; added: T[] } {
  const both = new Set(removed.map(text)).intersection(new Set(added.map(text)));
  const rest = (list: readonly T[]) => list.filter((one) => !both.has(text(one)));
  return { removed: rest(removed), added: rest(added) };
}

function newSet(set: NftSet, elements: readonly NftElement[]): NftOp[] {
  return [{ op: 'add', ...set }, ...elementOps('add', set, elements)];
}

function elementOps(op: 'add' | 'delete', of: NftSet | NftMap, elements: readonly NftElement[]): NftOp[] {
  return elements.length === 0 ? [] : [{ op, object: 'elements', of, elements }];
}

/** All of them before any of their rules, which refer to each other. */
function newChains(chains: readonly CompiledChain[]): NftOp[] {
  return [
    ...chains.map(({ chain }) => ({ op: 'add', object: 'chain', ...policyTable, chain }) as const),
    ...chains.flatMap(({ chain, rules }) =>
      rules.map(({ expressions, comment }) => {
        return { op: 'add', object: 'rule', ...policyTable, chain, expressions, comment } as const;
      }),
    ),
  ];
}

function dispatchOps(op: 'add' | 'delete', entries: readonly DispatchEntry[]): NftOp[] {
  return (['egress', 'ingress'] as const).flatMap((direction) =>
    ipFamilies.flatMap((family) => {
      const elements = entries
        .filter((entry) => entry.direction === direction && entry.ip.family === family)
        .map(({ ip, chain }): NftElement => ({ key: [ip], verdict: { verdict: 'jump', chain } }));
      return elementOps(op, dispatchMap(direction, family), elements);
    }),
  );
}

function selfOps(op: 'add' | 'delete', ips: readonly IpAddress[]): NftOp[] {
  return ipFamilies.flatMap((family: IpFamily) => {
    const own = ips.filter((ip) => ip.family === family);
    return elementOps(
      op,
      selfSet(family),
      own.map((ip) => ({ key: [ip, ip] })),
    );
  });
}
