import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  isStaleGeneration,
  type NftOp,
  nft,
  nftFindChain,
  nftFindRule,
  nftGeneration,
  nftListRules,
  nftTransaction,
  openNftIn,
  xt,
} from '@amphipod/netlink';
import { createTestNetns, type TestNetns } from './netlink-namespaces.ts';
import { address, addTable, at } from './netlink-nft-tables.ts';

const accept = (source: string, more: { mark?: string } = {}): NftOp => ({
  op: 'add',
  object: 'rule',
  ...at,
  chain: 'c',
  expressions: [...nft.eq(nft.ip.saddr, address(source)), nft.verdict('accept')],
  ...more,
});

test('a rule is found by its handle, with its mark; undefined when it, its chain or its table is gone', () => {
  using netns = createTestNetns();
  using conn = openNftIn(netns.pin);
  addTable(conn);
  const [first, second] = nftTransaction(
    conn,
    [accept('10.0.0.1', { mark: 'cni net one/eth0' }), accept('10.0.0.2')],
    { wantsRules: true },
  );
  assert.deepEqual(nftFindRule(conn, first!), first);
  assert.equal(nftFindRule(conn, first!)?.mark, 'cni net one/eth0');
  assert.equal(nftFindRule(conn, second!)?.mark, undefined);
  assert.deepEqual(nftListRules(conn, { ...at, chain: 'c' }), [first, second]);
  nftTransaction(conn, [{ op: 'delete', ...first! }]);
  assert.equal(nftFindRule(conn, first!), undefined);
  assert.deepEqual(nftFindRule(conn, second!), second);
  assert.equal(nftFindRule(conn, { ...second!, chain: 'missing' }), undefined);
  assert.equal(nftFindRule(conn, { ...second!, chain: 'other' }), undefined);
  netns.run('nft', 'flush', 'ruleset');
  assert.equal(nftFindRule(conn, second!), undefined);
});

test('the mark of a rule is shown by neither nft nor iptables', () => {
  using netns = createTestNetns();
  using conn = openNftIn(netns.pin);
  netns.run('iptables', '-N', 'PODS');
  const expressions = [...nft.eq(nft.ip.saddr, address('10.0.0.1')), nft.counter(), nft.verdict('accept')];
  const filter = { family: 'ip', table: 'filter', chain: 'PODS' } as const;
  nftTransaction(conn, [{ op: 'add', object: 'rule', ...filter, expressions, mark: 'cni net one/eth0' }]);
  assert.equal(netns.run('iptables', '-S', 'PODS'), '-N PODS\n-A PODS -s 10.0.0.1/32 -j ACCEPT');
  assert.doesNotMatch(netns.run('nft', 'list', 'ruleset'), /eth0/);
  assert.equal(nftListRules(conn, filter)[0]?.mark, 'cni net one/eth0');
});

test('a chain is found by its name, base or not; undefined when it or its table is not there', () => {
  using netns = createTestNetns();
  using conn = openNftIn(netns.pin);
  addTable(conn);
  assert.deepEqual(nftFindChain(conn, { ...at, chain: 'c' })?.base, {
    type: 'filter',
    hook: 'forward',
    priority: 0,
    policy: 'accept',
  });
  const other = nftFindChain(conn, { ...at, chain: 'other' });
  assert.deepEqual([other?.chain, other?.table, other?.base], ['other', 't', undefined]);
  assert.equal(nftFindChain(conn, { ...at, chain: 'missing' }), undefined);
  assert.equal(nftFindChain(conn, { ...at, table: 'missing', chain: 'c' }), undefined);
  assert.equal(nftFindChain(conn, { ...at, family: 'ip6', chain: 'c' }), undefined);
});

test('the generation changes with each change of the ruleset, and a transaction on an old one is refused as a whole', () => {
  using netns = createTestNetns();
  using conn = openNftIn(netns.pin);
  addTable(conn);
  const generation = nftGeneration(conn);
  assert.equal(nftGeneration(conn), generation);
  nftTransaction(conn, [accept('10.0.0.1')], { generation });
  netns.run('nft', 'add', 'table', 'ip', 'foreign');
  const stale = [accept('10.0.0.2'), accept('10.0.0.3')];
  assert.throws(() => nftTransaction(conn, stale, { generation }), isStaleGeneration);
  assert.equal(nftListRules(conn, { ...at, chain: 'c' }).length, 1);
  nftTransaction(conn, stale, { generation: nftGeneration(conn) });
  assert.equal(nftListRules(conn, { ...at, chain: 'c' }).length, 3);
});

/** The expressions of what iptables wrote and of what is written here, the counters' values aside. */
function bothForms(netns: TestNetns, args: string[], expressions: NftOp & { object: 'rule' }): unknown[] {
  using conn = openNftIn(netns.pin);
  netns.run('iptables', '-A', 'FORWARD', ...args);
  nftTransaction(conn, [expressions]);
  return nftListRules(conn, { family: 'ip', table: 'filter', chain: 'FORWARD' })
    .slice(-2)
    .map((rule) => rule.expressions);
}

test('matches of iptables come out as iptables itself writes them', () => {
  using netns = createTestNetns();
  netns.run('iptables', '-N', 'NEXT');
  const { established, related } = nft.ctStates;
  const end = [nft.counter(), nft.jump('NEXT')];
  const rules = [
    {
      args: ['-i', 'br0', '!', '-o', 'br0'],
      match: [...xt.inInterface('br0'), ...xt.outInterface('br0', '!=')],
    },
    { args: ['!', '-i', 'br0'], match: xt.inInterface('br0', '!=') },
    { args: ['-o', 'a-name-of-15-by'], match: xt.outInterface('a-name-of-15-by') },
    { args: ['-m', 'comment', '--comment', 'of the "pods"'], match: [xt.comment('of the "pods"')] },
    {
      args: ['-m', 'conntrack', '--ctstate', 'RELATED,ESTABLISHED'],
      match: [xt.ctState(related | established)],
    },
  ];
  for (const { args, match } of rules) {
    const rule: NftOp & { object: 'rule' } = {
      op: 'add',
      object: 'rule',
      family: 'ip',
      table: 'filter',
      chain: 'FORWARD',
      expressions: [...match, ...end],
    };
    const [theirs, ours] = bothForms(netns, [...args, '-j', 'NEXT'], rule);
    assert.deepEqual(ours, theirs, args.join(' '));
  }
  const lines = netns.run('iptables', '-S', 'FORWARD').trim().split('\n').slice(1);
  assert.equal(lines.length, 2 * rules.length);
  for (let i = 0; i < lines.length; i += 2) assert.equal(lines[i + 1], lines[i]);
});
