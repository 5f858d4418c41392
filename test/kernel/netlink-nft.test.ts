import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  formatIp,
  type Nft,
  type NftElement,
  type NftMap,
  type NftOp,
  type NftRuleSpec,
  type NftSet,
  nft,
  nftListChains,
  nftListElements,
  nftListRules,
  nftListSets,
  nftListTables,
  nftTransaction,
  openNftIn,
  parseCidr,
  parseIp,
} from '@amphipod/netlink';
import { createTestNetns, type TestNetns } from './netlink-namespaces.ts';

const at = { family: 'ip', table: 't' } as const;

/** What nft prints inside `table … { … }`, one statement a line, blanks put in order. */
function ruleset(netns: TestNetns): string[] {
  return netns
    .run('nft', 'list', 'ruleset')
    .split('\n')
    .map((line) => line.trim().replace(/\s+/g, ' '))
    .filter((line) => line !== '');
}

function addTable(conn: Nft, ...ops: NftOp[]): void {
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

const address = (text: string) => parseIp(text);
const ports: NftMap = {
  object: 'map',
  ...at,
  set: 'ports',
  key: ['inet_proto', 'inet_service'],
  data: ['ipv4_addr', 'inet_service'],
};
const pods: NftSet = {
  object: 'set',
  ...at,
  set: 'pods',
  key: ['ipv4_addr'],
  comment: 'pods that masquerade',
};
const nets: NftSet = { object: 'set', ...at, set: 'nets', key: ['ipv4_addr'], hasIntervals: true };
const pairs: NftSet = {
  object: 'set',
  ...at,
  set: 'pairs',
  key: ['ipv4_addr', 'inet_service'],
  hasIntervals: true,
};
const fates: NftMap = { object: 'map', ...at, set: 'fates', key: ['ipv4_addr'], data: 'verdict' };

// Each rule as it is written here, and as nft prints it.
const rules: [chain: string, expressions: NftRuleSpec['expressions'], text: string][] = [
  [
    'nat',
    [
      nft.eq(nft.fib.type('daddr'), nft.fibTypes.local),
      nft.dnatMap([nft.meta.l4proto, nft.th.dport], 'ports', { family: 'ip', hasPort: true }),
    ],
    'fib daddr type local dnat ip to meta l4proto . th dport map @ports',
  ],
  [
    'nat',
    [
      nft.eq(nft.meta.l4proto, 6),
      nft.eq(nft.th.dport, 99),
      nft.dnat({ ip: address('9.9.9.9'), port: 88 }, { family: 'ip' }),
    ],
    'tcp dport 99 dnat to 9.9.9.9:88',
  ],
  [
    'nat',
    [nft.eq(nft.meta.l4proto, 17), nft.eq(nft.th.dport, 53), nft.redirect(5353)],
    'udp dport 53 redirect to :5353',
  ],
  [
    'out',
    [
      nft.inSet(nft.ip.saddr, 'pods'),
      nft.ne(nft.ip.daddr, parseCidr('10.0.0.0/8')),
      nft.counter(),
      nft.masquerade(),
    ],
    'ip saddr @pods ip daddr != 10.0.0.0/8 counter packets 0 bytes 0 masquerade',
  ],
  ['out', [nft.masquerade('random', 'persistent')], 'masquerade random,persistent'],
  [
    'out',
    [
      nft.eq(nft.ip.saddr, parseCidr('10.0.0.0/13')),
      nft.snat({ ip: address('192.0.2.1') }, { family: 'ip' }),
    ],
    'ip saddr 10.0.0.0/13 snat to 192.0.2.1',
  ],
  [
    'c',
    [nft.hasAny(nft.ct.state, nft.ctStates.established | nft.ctStates.related), nft.verdict('accept')],
    'ct state established,related accept',
  ],
  ['c', [nft.hasAny(nft.ct.status, nft.ctStatuses.dnat), nft.verdict('return')], 'ct status dnat return'],
  ['c', [nft.vmap(nft.ip.daddr, 'fates')], 'ip daddr vmap @fates'],
  [
    'c',
    [nft.inSet([nft.ip.daddr, nft.th.dport], 'pairs'), nft.goto('other')],
    'ip daddr . th dport @pairs goto other',
  ],
  ['c', [nft.notInSet(nft.ip.saddr, 'nets'), nft.verdict('drop')], 'ip saddr != @nets drop'],
  [
    'c',
    [nft.limit(10, 'minute'), nft.log({ prefix: 'dropped: ', level: 'info' }), nft.reject('icmp', 1)],
    'limit rate 10/minute log prefix "dropped: " level info reject with icmp host-unreachable',
  ],
  [
    'c',
    [nft.startsWith(nft.meta.iifname, 'veth'), nft.eq(nft.meta.oifname, 'eth0'), nft.jump('other')],
    'iifname "veth*" oifname "eth0" jump other',
  ],
  [
    'c',
    [nft.eqMasked(nft.meta.mark, 0xff, 1), nft.setMarkBits(0x2000)],
    'meta mark & 0x000000ff == 0x00000001 meta mark set meta mark | 0x00002000',
  ],
  [
    'c',
    [nft.inRange(nft.ip.daddr, address('10.0.0.1'), address('10.0.0.9')), nft.setMark(5)],
    'ip daddr 10.0.0.1-10.0.0.9 meta mark set 0x00000005',
  ],
  [
    'c',
    [nft.eq(nft.meta.l4proto, 6), nft.eq(nft.ct.originalDport, 80), nft.verdict('accept')],
    'meta l4proto tcp ct original proto-dst 80 accept',
  ],
  ['c', [nft.eq(nft.ip.protocol, 132), nft.verdict('accept')], 'ip protocol sctp accept'],
  [
    'c',
    [nft.eq(nft.meta.l4proto, 1), nft.eq(nft.icmp.type, 8), nft.verdict('accept')],
    'icmp type echo-request accept',
  ],
  [
    'c',
    [nft.eq(nft.meta.iiftype, nft.ethernet), nft.eq(nft.ether.saddr, '02:00:00:00:00:01')],
    'ether saddr 02:00:00:00:00:01',
  ],
];

test('every rule is printed by nft as it was meant', () => {
  using netns = createTestNetns();
  using conn = openNftIn(netns.pin);
  addTable(
    conn,
    ...[ports, pods, nets, pairs, fates].map((set): NftOp => ({ op: 'add', ...set })),
    ...rules.map(([chain, expressions]): NftOp => ({ op: 'add', object: 'rule', ...at, chain, expressions })),
  );
  const printed = ruleset(netns);
  for (const [, , text] of rules)
    assert.ok(printed.includes(text), `${text}\nis not in\n${printed.join('\n')}`);
  const raw = netns.run('nft', 'list', 'ruleset');
  assert.doesNotMatch(raw, /@(nh|th|ll),/, 'a raw payload match: nft does not know what it is');
});

test('nft takes back what it printed of ours, and prints the same', () => {
  using netns = createTestNetns();
  using again = createTestNetns();
  using conn = openNftIn(netns.pin);
  addTable(
    conn,
    ...[ports, pods, nets, pairs, fates].map((set): NftOp => ({ op: 'add', ...set })),
    {
      op: 'add',
      object: 'elements',
      of: ports,
      elements: [{ key: [6, 80], data: [address('10.0.0.2'), 8080] }],
    },
    ...rules.map(([chain, expressions]): NftOp => ({ op: 'add', object: 'rule', ...at, chain, expressions })),
  );
  const text = netns.run('nft', 'list', 'ruleset');
  again.run('sh', '-c', `nft -f - <<'END'\n${text}\nEND`);
  assert.equal(again.run('nft', 'list', 'ruleset'), text);
});

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

test('twenty thousand elements go in with one transaction and come back', () => {
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
  const found = new Set(nftListElements(conn, pods).map(({ comment }) => comment));
  assert.equal(found.size, 20_000);
  nftTransaction(conn, [{ op: 'delete', object: 'elements', of: pods, elements }]);
  assert.deepEqual(nftListElements(conn, pods), []);
});

test('IPv6, inet and netdev tables', () => {
  using netns = createTestNetns();
  using conn = openNftIn(netns.pin);
  netns.run('ip', 'link', 'set', 'lo', 'up');
  const inet = { family: 'inet', table: 'i' } as const;
  const dev = { family: 'netdev', table: 'd' } as const;
  nftTransaction(conn, [
    { op: 'add', object: 'table', ...inet, comment: 'both families' },
    {
      op: 'add',
      object: 'chain',
      ...inet,
      chain: 'f',
      base: { type: 'filter', hook: 'input', priority: 10, policy: 'drop' },
      comment: 'why',
    },
    {
      op: 'add',
      object: 'rule',
      ...inet,
      chain: 'f',
      expressions: [
        nft.eq(nft.meta.nfproto, nft.nfProtocols.ipv6),
        nft.eq(nft.ip6.saddr, parseCidr('fd00::/64')),
        nft.eq(nft.meta.l4proto, nft.ipProtocols.icmpv6),
        nft.eq(nft.icmpv6.type, 135),
        nft.reject(),
      ],
    },
    { op: 'add', object: 'table', ...dev },
    {
      op: 'add',
      object: 'chain',
      ...dev,
      chain: 'in',
      base: { type: 'filter', hook: 'ingress', priority: -5, device: 'lo' },
    },
  ]);
  const printed = ruleset(netns);
  for (const text of [
    'comment "both families"',
    'type filter hook input priority filter + 10; policy drop;',
    'ip6 saddr fd00::/64 icmpv6 type nd-neighbor-solicit reject',
    'type filter hook ingress device "lo" priority filter - 5; policy accept;',
  ]) {
    assert.ok(printed.includes(text), `${text}\nis not in\n${printed.join('\n')}`);
  }
  assert.deepEqual(
    nftListTables(conn, 'inet').map(({ table, comment }) => [table, comment]),
    [['i', 'both families']],
  );
  assert.equal(nftListChains(conn, dev)[0]!.base!.hook, 'ingress');
});

test('rules that nft made are read, with what is unknown here marked so', () => {
  using netns = createTestNetns();
  using conn = openNftIn(netns.pin);
  netns.run(
    'nft',
    'add table ip t; add chain ip t c; add set ip t s { type ipv4_addr . mark; comment "theirs"; };' +
      ' add rule ip t c ip saddr 10.0.0.0/9 tcp dport { 80, 443 } counter comment "web"; add rule ip t c ct mark 7 meta priority set 1:2',
  );
  const [web, other] = nftListRules(conn, { ...at, chain: 'c' });
  assert.equal(web!.comment, 'web');
  assert.deepEqual(
    web!.expressions.map(({ expr }) => expr),
    ['payload', 'bitwise', 'cmp', 'meta', 'cmp', 'payload', 'lookup', 'counter'],
  );
  assert.ok(other!.expressions.length > 0);
  const named = nftListSets(conn, at).find(({ set }) => set === 's');
  assert.deepEqual([named?.key, named?.comment], [['ipv4_addr', 'mark'], 'theirs']);
});
