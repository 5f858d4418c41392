import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addrAdd,
  addrDel,
  addrList,
  addrReplace,
  broadcastOf,
  fdbAppend,
  fdbDel,
  fdbList,
  fdbReplace,
  formatCidr,
  linkAdd,
  linkDel,
  linkGet,
  linkSet,
  type MonitorEvent,
  monitor,
  neighAdd,
  neighDel,
  neighList,
  neighReplace,
  openRtnlIn,
  parseCidr,
  parseIp,
  type Rtnl,
  routeAdd,
  routeAppend,
  routeDel,
  routeGet,
  routeList,
  routeReplace,
  ruleAdd,
  ruleDel,
  ruleList,
} from '@amphipod/netlink';
import { createTestNetns, ipJson } from './netlink-namespaces.ts';

function addLink(conn: Rtnl, name: string): number {
  const link = linkAdd(conn, { kind: 'veth', name, up: true, peer: { name: `${name}p` } });
  linkSet(conn, linkGet(conn, `${name}p`).ifIndex, { up: true });
  return link.ifIndex;
}

test('addresses of both families: added, replaced, listed by link, deleted', () => {
  using netns = createTestNetns();
  using conn = openRtnlIn(netns.pin);
  const [a, b] = [addLink(conn, 'a'), addLink(conn, 'b')];
  const cidr = parseCidr('10.0.0.1/24');
  addrAdd(conn, a, cidr, { broadcast: broadcastOf(cidr), label: 'a:1' });
  addrAdd(conn, a, parseCidr('fd00::1/64'), { noDad: true });
  addrAdd(conn, b, parseCidr('10.0.1.1/24'));
  assert.throws(() => addrAdd(conn, a, cidr), { code: 'EEXIST', op: `add address 10.0.0.1/24 on link ${a}` });
  addrReplace(conn, a, cidr);
  const listed = addrList(conn, { ifIndex: a });
  const texts = listed.map((address) => formatCidr(address.cidr)).filter((text) => !text.startsWith('fe80'));
  assert.deepEqual(texts, ['10.0.0.1/24', 'fd00::1/64']);
  const v6 = listed.find((address) => formatCidr(address.cidr) === 'fd00::1/64');
  assert.deepEqual([v6?.flags.noDad, v6?.flags.tentative, v6?.flags.permanent], [true, false, true]);
  assert.equal(addrList(conn, { family: 4 }).length, 2);
  const [shown] = ipJson(netns, '-4', 'addr', 'show', 'a');
  const [info] = shown!.addr_info as Record<string, unknown>[];
  assert.deepEqual([info!.local, info!.prefixlen, info!.label], ['10.0.0.1', 24, 'a:1']);
  assert.equal(addrDel(conn, a, cidr), true);
  assert.equal(addrDel(conn, a, cidr), false);
  assert.deepEqual(addrList(conn, { ifIndex: a, family: 4 }), []);
});

test('a hundred links do not matter to the addresses of one', () => {
  using netns = createTestNetns();
  using conn = openRtnlIn(netns.pin);
  for (let i = 0; i < 50; i++) addrAdd(conn, addLink(conn, `l${i}`), parseCidr(`10.1.${i}.1/24`));
  const { ifIndex } = linkGet(conn, 'l7');
  const found = addrList(conn, { ifIndex, family: 4 });
  assert.deepEqual(
    found.map((address) => formatCidr(address.cidr)),
    ['10.1.7.1/24'],
  );
  assert.equal(addrList(conn, { family: 4 }).length, 50);
  assert.equal(routeList(conn, { family: 4, ifIndex }).length, 1);
});

test('routes are what ip shows, and come back as they were asked for', () => {
  using netns = createTestNetns();
  using conn = openRtnlIn(netns.pin);
  const a = addLink(conn, 'a');
  const gateway = parseIp('10.0.0.254');
  addrAdd(conn, a, parseCidr('10.0.0.1/24'));
  routeAdd(conn, { gateway, priority: 50, mtu: 1300, advmss: 1200, src: parseIp('10.0.0.1') });
  routeAdd(conn, { dst: parseCidr('10.7.3.9/16'), ifIndex: a, table: 1000 });
  routeAdd(conn, {
    dst: parseCidr('192.0.2.1/32'),
    gateway: parseIp('169.254.1.1'),
    ifIndex: a,
    onlink: true,
  });
  routeAdd(conn, { dst: parseCidr('10.8.0.0/16'), type: 'blackhole' });
  const [shown] = ipJson(netns, 'route', 'show', 'default');
  assert.deepEqual(
    [shown!.gateway, shown!.dev, shown!.metric, shown!.prefsrc],
    ['10.0.0.254', 'a', 50, '10.0.0.1'],
  );
  assert.deepEqual(shown!.metrics, [{ mtu: 1300, advmss: 1200 }]);
  const [main] = routeList(conn, { family: 4 });
  assert.deepEqual(
    [main!.dst, main!.gateway, main!.ifIndex, main!.priority, main!.mtu, main!.advmss, main!.src],
    [undefined, gateway, a, 50, 1300, 1200, parseIp('10.0.0.1')],
  );
  assert.deepEqual(
    ipJson(netns, 'route', 'show', 'table', '1000').map((r) => [r.dst, r.dev, r.scope]),
    [['10.7.0.0/16', 'a', 'link']],
  );
  assert.equal(routeList(conn, { table: 1000 }).length, 1);
  assert.deepEqual(routeList(conn, { table: 2000 }), []);
  const onlink = routeList(conn, { family: 4 }).find((r) => r.onlink);
  assert.deepEqual(onlink?.gateway, parseIp('169.254.1.1'));
  assert.ok(routeList(conn, { family: 4 }).some((r) => r.type === 'blackhole'));
});

test('a route is replaced, found missing, refused and deleted', () => {
  using netns = createTestNetns();
  using conn = openRtnlIn(netns.pin);
  const a = addLink(conn, 'a');
  addrAdd(conn, a, parseCidr('10.0.0.1/24'));
  const dst = parseCidr('10.9.0.0/16');
  routeAdd(conn, { dst, gateway: parseIp('10.0.0.2') });
  assert.throws(() => routeAdd(conn, { dst, gateway: parseIp('10.0.0.3') }), { code: 'EEXIST' });
  routeReplace(conn, { dst, gateway: parseIp('10.0.0.4') });
  const gateways = () => routeList(conn, { family: 4 }).flatMap((r) => (r.gateway ? [r.gateway] : []));
  assert.deepEqual(gateways(), [parseIp('10.0.0.4')]);
  assert.equal(routeDel(conn, { dst, gateway: parseIp('10.0.0.2') }), false);
  assert.equal(routeDel(conn, { dst }), true);
  assert.equal(routeDel(conn, { dst }), false);
  assert.throws(() => routeAdd(conn, { gateway: parseIp('203.0.113.1') }), {
    code: 'ENETUNREACH',
    op: 'add route default via 203.0.113.1',
    extack: 'Nexthop has invalid gateway',
  });
});

test('several next hops, IPv6 appended ones, an IPv4 network behind an IPv6 gateway', () => {
  using netns = createTestNetns();
  using conn = openRtnlIn(netns.pin);
  const [a, b] = [addLink(conn, 'a'), addLink(conn, 'b')];
  addrAdd(conn, a, parseCidr('10.0.0.1/24'));
  addrAdd(conn, b, parseCidr('10.0.1.1/24'));
  addrAdd(conn, a, parseCidr('fd00::1/64'), { noDad: true });
  const nextHops = [
    { gateway: parseIp('10.0.0.2'), ifIndex: a, weight: 1 },
    { gateway: parseIp('10.0.1.2'), ifIndex: b, weight: 3 },
  ];
  routeAdd(conn, { dst: parseCidr('10.50.0.0/16'), nextHops });
  const multi = routeList(conn, { family: 4, ifIndex: b }).find((route) => route.nextHops !== undefined);
  assert.deepEqual(multi?.nextHops, nextHops);
  const dst = parseCidr('fd01::/64');
  routeAdd(conn, { dst, gateway: parseIp('fd00::2') });
  routeAppend(conn, { dst, gateway: parseIp('fd00::3') });
  const [v6] = ipJson(netns, '-6', 'route', 'show', 'fd01::/64');
  assert.deepEqual(
    (v6!.nexthops as { gateway: string }[]).map((hop) => hop.gateway),
    ['fd00::2', 'fd00::3'],
  );
  routeAdd(conn, { dst: parseCidr('10.60.0.0/16'), gateway: parseIp('fe80::1'), ifIndex: a });
  const via = routeList(conn, { family: 4 }).find((route) => route.gateway?.family === 6);
  assert.deepEqual(via?.gateway, parseIp('fe80::1'));
});

test('the route to an address, as the table has it', () => {
  using netns = createTestNetns();
  using conn = openRtnlIn(netns.pin);
  const a = addLink(conn, 'a');
  addrAdd(conn, a, parseCidr('10.0.0.1/24'));
  assert.equal(routeGet(conn, parseIp('10.9.9.9')), undefined);
  assert.equal(routeGet(conn, parseIp('fd09::9')), undefined);
  routeAdd(conn, { family: 4, gateway: parseIp('10.0.0.7') });
  const direct = routeGet(conn, parseIp('10.0.0.200'));
  assert.deepEqual([direct?.dst, direct?.ifIndex, direct?.gateway], [parseCidr('10.0.0.0/24'), a, undefined]);
  const outside = routeGet(conn, parseIp('10.9.9.9'));
  assert.deepEqual([outside?.dst, outside?.gateway], [undefined, parseIp('10.0.0.7')]);
});

test('neighbours and forwarding entries', () => {
  using netns = createTestNetns();
  using conn = openRtnlIn(netns.pin);
  const a = addLink(conn, 'a');
  const entry = { ifIndex: a, ip: parseIp('10.0.0.9'), mac: '02:00:00:00:00:09' };
  neighAdd(conn, entry);
  assert.throws(() => neighAdd(conn, entry), { code: 'EEXIST' });
  neighReplace(conn, { ...entry, mac: '02:00:00:00:00:0a' });
  neighAdd(conn, { ifIndex: a, ip: parseIp('fd00::9'), proxy: true });
  const found = neighList(conn, { ifIndex: a, family: 4 });
  assert.deepEqual(found, [{ ...entry, mac: '02:00:00:00:00:0a', state: 'permanent' }]);
  assert.deepEqual(
    neighList(conn, { ifIndex: a, proxy: true }).map(({ ip }) => ip),
    [parseIp('fd00::9')],
  );
  assert.equal(neighDel(conn, entry), true);
  assert.equal(neighDel(conn, entry), false);
  const vxlan = linkAdd(conn, { kind: 'vxlan', name: 'vx', vni: 5, port: 4789, up: true });
  const everywhere = { ifIndex: vxlan.ifIndex, mac: '00:00:00:00:00:00' };
  for (const dst of ['192.0.2.1', '192.0.2.2']) fdbAppend(conn, { ...everywhere, dst: parseIp(dst) });
  const hosts = fdbList(conn, { ifIndex: vxlan.ifIndex }).flatMap(({ dst }) => (dst ? [dst] : []));
  assert.deepEqual(hosts, [parseIp('192.0.2.1'), parseIp('192.0.2.2')]);
  assert.equal(fdbDel(conn, { ...everywhere, dst: parseIp('192.0.2.1') }), true);
  assert.equal(fdbList(conn, { ifIndex: vxlan.ifIndex }).length, 1);
  assert.equal(fdbDel(conn, { ifIndex: vxlan.ifIndex, mac: '02:00:00:00:00:07' }), false);
});

test('a learned forwarding entry is replaced by one that stays; a monitor tells of both', {
  timeout: 10_000,
}, async () => {
  using netns = createTestNetns();
  using conn = openRtnlIn(netns.pin);
  const { ifIndex } = linkAdd(conn, { kind: 'vxlan', name: 'vx0', vni: 42, port: 4789 });
  const abort = new AbortController();
  const events = monitor(conn, ['fdb'], { signal: abort.signal });
  const mac = '02:00:00:00:00:09';
  netns.run('bridge', 'fdb', 'add', mac, 'dev', 'vx0', 'dst', '192.0.2.1', 'self', 'dynamic');
  assert.deepEqual(fdbList(conn, { ifIndex }), [{ ifIndex, mac, dst: parseIp('192.0.2.1') }]);
  neighReplace(conn, { ifIndex, ip: parseIp('10.0.0.9'), mac });
  fdbReplace(conn, { ifIndex, mac, dst: parseIp('192.0.2.2') });
  const entry = { ifIndex, mac, dst: parseIp('192.0.2.2'), isPermanent: true };
  assert.deepEqual(fdbList(conn, { ifIndex }), [entry]);
  const told: MonitorEvent[] = [];
  for await (const event of events) {
    told.push(event);
    if (event.subject === 'fdb' && event.entry.isPermanent) abort.abort();
  }
  assert.deepEqual(told.at(-1), { subject: 'fdb', change: 'new', entry });
  assert.ok(told.every(({ subject }) => subject === 'fdb'));
});

test('policy rules', (context) => {
  using netns = createTestNetns();
  using conn = openRtnlIn(netns.pin);
  const rule = { family: 4, priority: 900, src: parseCidr('10.3.0.0/16'), mark: 0x20, table: 1000 } as const;
  try {
    ruleAdd(conn, rule);
  } catch (error) {
    assert.equal((error as { code?: string }).code, 'ENOTSUP');
    context.skip('this kernel has no policy rules');
    return;
  }
  const found = ruleList(conn, 4).find(({ priority }) => priority === 900);
  assert.deepEqual(found, { ...rule, markMask: 0xffffffff, action: 'table' });
  assert.equal(ruleDel(conn, rule), true);
  assert.equal(ruleDel(conn, rule), false);
});

test('a monitor tells what happens, in order, and ends with its signal', { timeout: 10_000 }, async () => {
  using netns = createTestNetns();
  using conn = openRtnlIn(netns.pin);
  const abort = new AbortController();
  const events = monitor(conn, ['link', 'address', 'route', 'neighbour'], { signal: abort.signal });
  const { ifIndex } = linkAdd(conn, { kind: 'bridge', name: 'br0', up: true });
  addrAdd(conn, ifIndex, parseCidr('10.0.0.1/24'));
  neighAdd(conn, { ifIndex, ip: parseIp('10.0.0.9'), mac: '02:00:00:00:00:09' });
  await linkDel(conn, 'br0');
  const seen: MonitorEvent[] = [];
  for await (const event of events) {
    seen.push(event);
    if (event.subject === 'link' && event.change === 'gone') abort.abort();
  }
  const has = (subject: string, change: string) =>
    seen.some((event) => event.subject === subject && 'change' in event && event.change === change);
  for (const subject of ['link', 'address', 'route', 'neighbour']) assert.ok(has(subject, 'new'), subject);
  assert.ok(has('link', 'gone') && has('address', 'gone'));
});
