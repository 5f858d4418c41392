import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  filterDel,
  htbClassAdd,
  htbClassList,
  linkAdd,
  openRtnlIn,
  qdiscAdd,
  qdiscDel,
  qdiscFind,
  qdiscList,
  qdiscReplace,
  type Rtnl,
  readPsched,
  tcHandle,
  transmitTicks,
  u32FilterAdd,
  u32FilterList,
} from '@amphipod/netlink';
import { createTestNetns, type TestNetns } from './netlink-namespaces.ts';

interface Shown {
  kind: string;
  handle?: string;
  root?: boolean;
  options?: Record<string, unknown>;
}

const MBIT = 1_000_000 / 8;

function tcJson(netns: TestNetns, ...args: string[]): Shown[] {
  return JSON.parse(netns.run('tc', '-j', ...args) || '[]') as Shown[];
}

/** A namespace with two links to work on. */
function setUp(): {
  netns: TestNetns;
  conn: Rtnl;
  veth: number;
  ifb: number;
  [Symbol.dispose](): void;
} {
  const netns = createTestNetns();
  const conn = openRtnlIn(netns.pin);
  const veth = linkAdd(conn, { kind: 'veth', name: 'v0', up: true, peer: { name: 'v1' } }).ifIndex;
  const ifb = linkAdd(conn, { kind: 'ifb', name: 'ifb0', up: true }).ifIndex;
  return {
    netns,
    conn,
    veth,
    ifb,
    [Symbol.dispose]() {
      conn.close();
      netns[Symbol.dispose]();
    },
  };
}

function tbf(ifIndex: number, megabits: number, burstBytes: number) {
  const bytesPerSecond = megabits * MBIT;
  return {
    kind: 'tbf',
    ifIndex,
    handle: tcHandle(1),
    bytesPerSecond,
    bufferTicks: transmitTicks(readPsched(), burstBytes, bytesPerSecond),
    limitBytes: burstBytes + bytesPerSecond * 0.025,
  } as const;
}

test('a token bucket is what tc shows, and what tc makes is what is read', () => {
  using world = setUp();
  const { netns, conn, veth } = world;
  assert.equal(qdiscFind(conn, veth, 'root'), undefined);
  qdiscAdd(conn, tbf(veth, 8, 100_000));
  const [shown] = tcJson(netns, 'qdisc', 'show', 'dev', 'v0', 'root');
  assert.deepEqual(
    [shown!.kind, shown!.handle, shown!.options],
    ['tbf', '1:', { rate: 1_000_000, burst: 100_000, lat: 25_000 }],
  );
  const ours = qdiscFind(conn, veth, 'root')!;
  netns.run('tc', 'qdisc', 'del', 'dev', 'v0', 'root');
  netns.run(
    ...('tc qdisc add dev v0 root handle 1: tbf rate 8mbit burst 100000 latency 25ms'.split(' ') as [
      string,
      ...string[],
    ]),
  );
  assert.deepEqual(qdiscFind(conn, veth, 'root'), ours);
  assert.throws(() => qdiscAdd(conn, tbf(veth, 8, 100_000)), { code: 'EEXIST' });
  qdiscReplace(conn, tbf(veth, 16, 100_000));
  assert.equal(qdiscFind(conn, veth, 'root')!.tbf!.bytesPerSecond, 2_000_000);
  assert.equal(qdiscDel(conn, veth, 'root'), true);
  assert.equal(qdiscDel(conn, veth, 'root'), false);
  assert.equal(qdiscFind(conn, veth, 'root'), undefined);
});

test('a rate of more than 32 bits', () => {
  using world = setUp();
  const { netns, conn, veth } = world;
  qdiscAdd(conn, tbf(veth, 80_000, 10_000_000));
  assert.equal(qdiscFind(conn, veth, 'root')!.tbf!.bytesPerSecond, 10_000_000_000);
  const [shown] = tcJson(netns, 'qdisc', 'show', 'dev', 'v0', 'root');
  assert.equal(shown!.options!.rate, 10_000_000_000);
});

test('a rate that is none is refused by the kernel', () => {
  using world = setUp();
  const { conn, veth } = world;
  assert.throws(
    () => qdiscAdd(conn, { kind: 'tbf', ifIndex: veth, bytesPerSecond: 0, bufferTicks: 1, limitBytes: 1 }),
    { code: 'EINVAL' },
  );
  assert.throws(() => qdiscAdd(conn, tbf(9999, 8, 1000)), { code: 'ENODEV' });
});

test('what a link receives is sent through another one', () => {
  using world = setUp();
  const { netns, conn, veth, ifb } = world;
  assert.equal(qdiscFind(conn, veth, 'ingress'), undefined);
  qdiscAdd(conn, { kind: 'ingress', ifIndex: veth });
  assert.equal(qdiscFind(conn, veth, 'ingress')!.kind, 'ingress');
  const parent = tcHandle(0xffff);
  assert.deepEqual(u32FilterList(conn, veth, parent), []);
  const filter = { ifIndex: veth, parent, priority: 1, protocol: 'all' } as const;
  u32FilterAdd(conn, { ...filter, classId: tcHandle(1, 1), redirectTo: ifb });
  const shown = tcJson(netns, 'filter', 'show', 'dev', 'v0', 'parent', 'ffff:').find(
    ({ options }) => options?.flowid !== undefined,
  );
  assert.deepEqual(shown!.options!.match, { value: '0', mask: '0', offmask: '', off: 0 });
  assert.match(
    netns.run('tc', 'filter', 'show', 'dev', 'v0', 'parent', 'ffff:'),
    /pref 1 u32 .*flowid 1:1[\s\S]*match 00000000\/00000000 at 0[\s\S]*mirred \(Egress Redirect to device ifb0\) stolen/,
  );
  const [read] = u32FilterList(conn, veth, parent);
  assert.deepEqual(
    { ...read, handle: 0 },
    { ...filter, keys: [], classId: tcHandle(1, 1), redirectTo: ifb, handle: 0 },
  );
  // What tc makes is read alike.
  filterDel(conn, filter);
  assert.deepEqual(u32FilterList(conn, veth, parent), []);
  const words = 'filter add dev v0 parent ffff: protocol all prio 1 u32 match u32 0 0 flowid 1:1';
  netns.run('tc', ...words.split(' '), ...'action mirred egress redirect dev ifb0'.split(' '));
  assert.deepEqual(u32FilterList(conn, veth, parent), [read]);
  assert.equal(qdiscDel(conn, veth, 'ingress'), true);
  assert.equal(qdiscDel(conn, veth, 'ingress'), false);
});

test('classes of HTB, and filters that choose them', () => {
  using world = setUp();
  const { netns, conn, veth } = world;
  const handle = tcHandle(1);
  qdiscAdd(conn, { kind: 'htb', ifIndex: veth, handle, defaultClass: 0x30 });
  const spec = {
    ifIndex: veth,
    handle: tcHandle(1, 0x30),
    parent: handle,
    bytesPerSecond: MBIT,
    ceilBytesPerSecond: 2 * MBIT,
    bufferTicks: transmitTicks(readPsched(), 10_000, MBIT),
    ceilBufferTicks: transmitTicks(readPsched(), 10_000, 2 * MBIT),
  };
  htbClassAdd(conn, spec);
  const fast = { ...spec, handle: tcHandle(1, 1), bytesPerSecond: 1e11, ceilBytesPerSecond: 1e11 };
  htbClassAdd(conn, fast);
  assert.deepEqual(qdiscFind(conn, veth, 'root')!.htb, { kind: 'htb', defaultClass: 0x30 });
  // The kernel tells a class of the first level to be its own root.
  const classes = htbClassList(conn, veth).map(({ parent: _, ...rest }) => rest);
  const wanted = [spec, fast].map(({ parent: _, ...rest }) => rest);
  const byHandle = (a: { handle: number }, b: { handle: number }) => a.handle - b.handle;
  assert.deepEqual(classes.sort(byHandle), wanted.sort(byHandle));
  assert.match(
    netns.run('tc', 'class', 'show', 'dev', 'v0'),
    /htb 1:30 root .*rate 1Mbit ceil 2Mbit burst 10000b/,
  );
  u32FilterAdd(conn, {
    ifIndex: veth,
    parent: handle,
    priority: 16,
    protocol: 'ip',
    classId: tcHandle(1, 1),
    keys: [{ offset: 16, mask: 0xffff0000, value: 0x0a010000 }],
  });
  const text = netns.run('tc', 'filter', 'show', 'dev', 'v0');
  assert.match(text, /protocol ip pref 16 u32 [\s\S]*flowid 1:1[\s\S]*match 0a010000\/ffff0000 at 16/);
  assert.equal(qdiscList(conn, { ifIndex: veth }).length, 1);
  assert.ok(qdiscList(conn).length >= 1);
});
