import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type NftOp,
  type NftRuleSpec,
  nft,
  nftListChains,
  nftListRules,
  nftListSets,
  nftListTables,
  nftTransaction,
  openNftIn,
  parseCidr,
} from '@amphipod/netlink';
import { createTestNetns } from './netlink-namespaces.ts';
import { address, addTable, at, fates, nets, pairs, pods, ports, ruleset } from './netlink-nft-tables.ts';

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
