// For the kernel tests of nftables: a table with chains and sets to work on.
import { type Nft, type NftMap, type NftOp, type NftSet, nftTransaction, parseIp } from '@amphipod/netlink';
import type { TestNetns } from './netlink-namespaces.ts';

export const at = { family: 'ip', table: 't' } as const;

/** What nft prints inside `table … { … }`, one statement a line, blanks put in order. */
export function ruleset(netns: TestNetns): string[] {
  return netns
    .run('nft', 'list', 'ruleset')
    .split('\n')
    .map((line) => line.trim().replace(/\s+/g, ' '))
    .filter((line) => line !== '');
}

export function addTable(conn: Nft, ...ops: NftOp[]): void {
  nftTransaction(conn, [
    { op: 'add', object: 'table', ...at },
    { op: 'add', object: 'chain', ...at, chain: 'c', base: { type: 'filter', hook: 'forward', priority: 0 } },
    {
      op: 'add',
      object: 'chain',
      ...at,
      chain: 'nat',
      base: { type: 'nat', hook: 'prerouting', priority: -100 },
    },
    {
      op: 'add',
      object: 'chain',
      ...at,
      chain: 'out',
      base: { type: 'nat', hook: 'postrouting', priority: 100 },
    },
    { op: 'add', object: 'chain', ...at, chain: 'other' },
    ...ops,
  ]);
}

export const address = (text: string) => parseIp(text);
export const ports: NftMap = {
  object: 'map',
  ...at,
  set: 'ports',
  key: ['inet_proto', 'inet_service'],
  data: ['ipv4_addr', 'inet_service'],
};
export const pods: NftSet = {
  object: 'set',
  ...at,
  set: 'pods',
  key: ['ipv4_addr'],
  comment: 'pods that masquerade',
};
export const nets: NftSet = { object: 'set', ...at, set: 'nets', key: ['ipv4_addr'], hasIntervals: true };
export const pairs: NftSet = {
  object: 'set',
  ...at,
  set: 'pairs',
  key: ['ipv4_addr', 'inet_service'],
  hasIntervals: true,
};
export const fates: NftMap = { object: 'map', ...at, set: 'fates', key: ['ipv4_addr'], data: 'verdict' };
