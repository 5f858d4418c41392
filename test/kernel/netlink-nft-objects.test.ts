import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  formatIp,
  type NftElement,
  type NftMap,
  type NftOp,
  type NftRuleSpec,
  type NftSet,
  nft,
  nftFindElement,
  nftListChains,
  nftListElements,
  nftListRules,
  nftListSets,
  nftListTables,
  nftTransaction,
  openNftIn,
  parseCidr,
} from '@amphipod/netlink';
import { createTestNetns } from './netlink-namespaces.ts';
import { address, addTable, at, fates, nets, pairs, pods, ports, ruleset } from './netlink-nft-tables.ts';

test('sets and maps with comments, ranges, timeouts and verdicts', () => {
  using netns = createTestNetns();
  using conn = openNftIn(netns.pin);
  const guests: NftSet = {
    object: 'set',
    ...at,
    set: 'guests',
    key: ['ether_addr'],
    timeoutMs: 60_000,
    size: 100,
  };
  const marks: NftSet = { object: 'set', ...at, set: 'marks', key: ['mark'] };
  const links: NftSet = { object: 'set', ...at, set: 'links', key: ['ifname'] };
  const content: [NftSet | NftMap, NftElement[]][] = [
    [ports, [{ key: [6, 8080], data: [address('10.0.0.2'), 80], comment: 'pod a' }]],
    [pods, [{ key: [address('10.0.0.2')], comment: 'pod ä' }]],
    [
      nets,
      [
        nft.cidrElement(parseCidr('10.1.2.3/16'), { comment: 'cluster' }),
        { key: [address('10.3.0.1')] },
        { key: [address('10.4.0.1')], keyEnd: [address('10.4.0.9')] },
        { key: [address('255.255.255.0')], keyEnd: [address('255.255.255.255')] },
      ],
    ],
    [pairs, [{ key: [address('10.1.0.0'), 80], keyEnd: [address('10.1.0.255'), 90] }]],
    [
      fates,
      [
        { key: [address('10.0.0.1')], verdict: { verdict: 'jump', chain: 'other' } },
        { key: [address('10.0.0.2')], verdict: { verdict: 'drop' }, comment: 'bad' },
      ],
    ],
    [guests, [{ key: ['02:00:00:00:00:01'], timeoutMs: 10_000, comment: 'short' }]],
    [marks, [{ key: [0x2000] }]],
    [links, [{ key: ['veth0'] }]],
  ];
  addTable(
    conn,
    ...content.map(([set]): NftOp => ({ op: 'add', ...set })),
    ...content.map(([of, elements]): NftOp => ({ op: 'add', object: 'elements', of, elements })),
  );
  const printed = ruleset(netns).join('\n');
  for (const text of [
    'elements = { tcp . 8080 comment "pod a" : 10.0.0.2 . 80 }',
    'comment "pods that masquerade"',
    'elements = { 10.0.0.2 comment "pod ä" }',
    '10.1.0.0/16 comment "cluster", 10.3.0.1,',
    '10.4.0.1-10.4.0.9, 255.255.255.0/24',
    'elements = { 10.1.0.0/24 . 80-90 }',
    '10.0.0.2 comment "bad" : drop',
    '10.0.0.1 : jump other',
    'timeout 1m',
    'size 100',
    'elements = { 0x00002000 }',
    'elements = { "veth0" }',
  ]) {
    assert.ok(printed.includes(text), `${text}\nis not in\n${printed}`);
  }
  for (const [set, elements] of content) {
    const read = nftListSets(conn, at).find((found) => found.set === set.set);
    assert.deepEqual([read?.key, read?.comment], [set.key, set.comment]);
    const found = nftListElements(conn, read!).map(({ expiresMs: _, ...element }) => element);
    assert.equal(found.length, elements.length);
    for (const element of elements)
      assert.deepEqual(
        found.find((e) => sameKey(e, element)),
        element,
      );
  }
  const [guest] = nftListElements(conn, guests);
  assert.ok(guest!.expiresMs! > 0 && guest!.expiresMs! <= 10_000);
});

function sameKey(a: NftElement, b: NftElement): boolean {
  const text = ({ key }: NftElement) =>
    key.map((part) => (typeof part === 'object' && 'family' in part ? formatIp(part) : part));
  return text(a).join() === text(b).join();
}

test('tables, chains and rules are read back; rules by comment and handle are deleted, inserted, replaced', () => {
  using netns = createTestNetns();
  using conn = openNftIn(netns.pin);
  const rule = (comment: string): NftRuleSpec => ({
    object: 'rule',
    ...at,
    chain: 'c',
    expressions: [nft.eq(nft.ip.saddr, address('10.0.0.1')), nft.counter(), nft.verdict('drop')],
    comment,
  });
  addTable(
    conn,
    { op: 'add', ...rule('one') },
    { op: 'add', ...rule('two') },
    { op: 'insert', ...rule('zero') },
  );
  const comments = () => nftListRules(conn, { ...at, chain: 'c' }).map(({ comment }) => comment);
  assert.deepEqual(comments(), ['zero', 'one', 'two']);
  const [zero, one] = nftListRules(conn, { ...at, chain: 'c' });
  assert.equal(
    netns.run('nft', '-a', 'list', 'chain', 'ip', 't', 'c').includes(`comment "one" # handle ${one!.handle}`),
    true,
  );
  assert.deepEqual(one!.expressions.at(-1), { expr: 'verdict', verdict: 'drop' });
  nftTransaction(conn, [
    { op: 'add', ...rule('half'), position: zero!.handle },
    { op: 'insert', ...rule('almost'), position: one!.handle },
    { op: 'replace', ...rule('uno'), handle: one!.handle },
    { op: 'delete', ...zero! },
  ]);
  assert.deepEqual(comments(), ['half', 'almost', 'uno', 'two']);
  const [copied] = nftListRules(conn, { ...at, chain: 'c' });
  nftTransaction(conn, [{ op: 'add', ...copied!, chain: 'other' }]);
  assert.equal(nftListRules(conn, { ...at, chain: 'other' }).length, 1);
  assert.equal(nftListRules(conn, at).length, 5);
  assert.deepEqual(
    nftListChains(conn, at).map(({ chain, base }) => [chain, base?.hook, base?.priority, base?.policy]),
    [
      ['c', 'forward', 0, 'accept'],
      ['nat', 'prerouting', -100, 'accept'],
      ['out', 'postrouting', 100, 'accept'],
      ['other', undefined, undefined, undefined],
    ],
  );
  nftTransaction(conn, [{ op: 'flush', object: 'chain', ...at, chain: 'c' }]);
  assert.deepEqual(comments(), []);
  assert.deepEqual(nftListRules(conn, { ...at, table: 'none' }), []);
});

test('a transaction is all or nothing, and its error names the step', () => {
  using netns = createTestNetns();
  using conn = openNftIn(netns.pin);
  addTable(conn);
  const before = netns.run('nft', 'list', 'ruleset');
  const chain: NftOp = { op: 'add', object: 'chain', ...at, chain: 'new' };
  const cases: [NftOp, string, string][] = [
    [{ op: 'add', object: 'rule', ...at, chain: 'none', expressions: [] }, 'add rule ip t none', 'ENOENT'],
    [{ op: 'create', object: 'chain', ...at, chain: 'c' }, 'create chain ip t c', 'EEXIST'],
    [
      { op: 'delete', object: 'rule', ...at, chain: 'c', handle: 4711n },
      'delete rule ip t c handle 4711',
      'ENOENT',
    ],
    [{ op: 'delete', object: 'set', ...at, set: 'none' }, 'delete set ip t none', 'ENOENT'],
    [
      { op: 'add', object: 'elements', of: pods, elements: [{ key: [address('10.0.0.1')] }] },
      'add element ip t pods',
      'ENOENT',
    ],
  ];
  for (const [step, op, code] of cases) {
    assert.throws(() => nftTransaction(conn, [chain, step, chain]), { op, code });
    assert.equal(netns.run('nft', 'list', 'ruleset'), before);
  }
});

test('destroy is content with nothing there; delete is not; flush empties', () => {
  using netns = createTestNetns();
  using conn = openNftIn(netns.pin);
  nftTransaction(conn, [{ op: 'destroy', object: 'table', ...at }]);
  assert.throws(() => nftTransaction(conn, [{ op: 'delete', object: 'table', ...at }]), { code: 'ENOENT' });
  addTable(
    conn,
    { op: 'add', ...pods },
    { op: 'add', object: 'elements', of: pods, elements: [{ key: [address('10.0.0.1')] }] },
  );
  nftTransaction(conn, [{ op: 'destroy', object: 'chain', ...at, chain: 'other' }]);
  nftTransaction(conn, [{ op: 'destroy', object: 'chain', ...at, chain: 'other' }]);
  nftTransaction(conn, [{ op: 'flush', object: 'set', ...at, set: 'pods' }]);
  assert.deepEqual(nftListElements(conn, pods), []);
  nftTransaction(conn, [{ op: 'destroy', object: 'table', ...at }]);
  assert.deepEqual(nftListTables(conn), []);
});

test('destroy of elements needs Linux 6.3 and is content with nothing there', () => {
  using netns = createTestNetns();
  using conn = openNftIn(netns.pin);
  addTable(conn, { op: 'add', ...pods });
  const elements: NftOp = {
    op: 'destroy',
    object: 'elements',
    of: pods,
    elements: [{ key: [address('10.0.0.1')] }],
  };
  nftTransaction(conn, [elements]);
  assert.throws(() => nftTransaction(conn, [{ ...elements, op: 'delete' }]), { code: 'ENOENT' });
});

test('one element is found by its key, ranges by any key within', () => {
  using netns = createTestNetns();
  using conn = openNftIn(netns.pin);
  const entry: NftElement = { key: [6, 80], data: [address('10.0.0.2'), 8080], comment: 'pod' };
  const range: NftElement = { key: [address('10.0.0.1')], keyEnd: [address('10.0.0.9')], comment: 'range' };
  const last: NftElement = { key: [address('255.0.0.0')], keyEnd: [address('255.255.255.255')] };
  const pair: NftElement = { key: [address('10.0.0.0'), 80], keyEnd: [address('10.0.0.255'), 90] };
  addTable(
    conn,
    ...[ports, nets, pairs].map((set): NftOp => ({ op: 'add', ...set })),
    { op: 'add', object: 'elements', of: ports, elements: [entry] },
    { op: 'add', object: 'elements', of: nets, elements: [range, last] },
    { op: 'add', object: 'elements', of: pairs, elements: [pair] },
  );
  assert.deepEqual(nftFindElement(conn, ports, [6, 80]), entry);
  assert.equal(nftFindElement(conn, ports, [17, 80]), undefined);
  for (const ip of ['10.0.0.1', '10.0.0.5', '10.0.0.9']) {
    assert.deepEqual(nftFindElement(conn, nets, [address(ip)]), range, ip);
  }
  assert.equal(nftFindElement(conn, nets, [address('10.0.0.10')]), undefined);
  assert.deepEqual(nftFindElement(conn, nets, [address('255.1.2.3')]), last);
  assert.deepEqual(nftFindElement(conn, pairs, [address('10.0.0.7'), 85]), pair);
  assert.throws(() => nftFindElement(conn, pods, [address('10.0.0.1')]), { code: 'ENOENT' });
});

test('twenty thousand elements go in with one transaction and come back', async () => {
  using netns = createTestNetns();
  using conn = openNftIn(netns.pin);
  const elements = Array.from(
    { length: 20_000 },
    (_, index): NftElement => ({
      key: [{ family: 4, value: BigInt(0x0a000000 + index) }],
      comment: `pod ${index}`,
    }),
  );
  addTable(conn, { op: 'add', ...pods }, { op: 'add', object: 'elements', of: pods, elements });
  // The kernel goes on to enlarge the hash table for a moment, and passes over elements in a dump meanwhile.
  const found = () => new Set(nftListElements(conn, pods).map(({ comment }) => comment)).size;
  for (let tries = 0; tries < 50 && found() < 20_000; tries++) await sleep(50);
  assert.equal(found(), 20_000);
  nftTransaction(conn, [{ op: 'delete', object: 'elements', of: pods, elements }]);
  assert.deepEqual(nftListElements(conn, pods), []);
});
