import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { inNetns, tapCreate, threadNetnsIds } from '@amphipod/linux';
import {
  type LinkSpec,
  linkAdd,
  linkAddIn,
  linkFind,
  linkGet,
  linkList,
  linkSet,
  linkSetBridgePort,
  openRtnlIn,
  parseIp,
} from '@amphipod/netlink';
import { createTestNetns, ipJson, type TestNetns } from './netlink-namespaces.ts';

function ipLink(netns: TestNetns, name: string): Record<string, unknown> {
  return ipJson(netns, 'link', 'show', name)[0]!;
}

test('a veth is made, moved, put into the bridge and up with one message', () => {
  using host = createTestNetns();
  using pod = createTestNetns();
  using hostConn = openRtnlIn(host.pin);
  using podConn = openRtnlIn(pod.fd);
  const bridge = linkAdd(hostConn, { kind: 'bridge', name: 'br0', mac: '02:00:00:00:00:01', up: true });
  const made = linkAdd(hostConn, {
    kind: 'veth',
    name: 'veth0',
    mtu: 1450,
    mac: '02:00:00:00:00:02',
    masterIndex: bridge.ifIndex,
    up: true,
    txQueueLength: 500,
    peer: { name: 'eth0', netnsFd: pod.fd, mtu: 1450, mac: '02:00:00:00:00:03' },
  });
  const link = linkGet(hostConn, 'veth0');
  assert.deepEqual(
    [made.ifIndex, made.mac, made.mtu, made.masterIndex, made.peerIndex, made.kind],
    [link.ifIndex, link.mac, link.mtu, link.masterIndex, link.peerIndex, link.kind],
  );
  const shown = ipLink(host, 'veth0');
  assert.equal(shown.master, 'br0');
  assert.equal(shown.mtu, 1450);
  assert.equal(shown.txqlen, 500);
  assert.equal(shown.address, '02:00:00:00:00:02');
  assert.ok((shown.flags as string[]).includes('UP'));
  const inPod = linkGet(podConn, 'eth0');
  assert.deepEqual([inPod.mtu, inPod.mac, inPod.peerIndex], [1450, '02:00:00:00:00:03', link.ifIndex]);
  assert.equal(inPod.flags.up, false);
  linkSet(podConn, inPod.ifIndex, { up: true });
  assert.equal(linkGet(podConn, 'eth0').operState, 'up');
  assert.equal(threadNetnsIds(() => readdirSync('/proc/self/task')).size, 1);
});

test('settings of links and bridge ports are what ip shows', () => {
  using host = createTestNetns();
  using conn = openRtnlIn(host.pin);
  const bridge = linkAdd(conn, {
    kind: 'bridge',
    name: 'br0',
    stp: true,
    mcastSnooping: false,
    ageingSeconds: 60,
  });
  const veth = linkAdd(conn, { kind: 'veth', name: 'a', peer: { name: 'b' } });
  linkSet(conn, veth.ifIndex, {
    masterIndex: bridge.ifIndex,
    alias: 'pod ä',
    promisc: true,
    mtu: 1300,
    name: 'c',
  });
  linkSetBridgePort(conn, veth.ifIndex, { hairpin: true, isolated: true, learning: false, guard: true });
  const shown = ipLink(host, 'c');
  const port = (shown.linkinfo as { info_slave_data: Record<string, unknown> }).info_slave_data;
  assert.deepEqual([port.hairpin, port.isolated, port.learning, port.guard], [true, true, false, true]);
  assert.deepEqual([shown.ifalias, shown.mtu, shown.promiscuity], ['pod ä', 1300, 2]);
  const link = linkGet(conn, 'c');
  assert.deepEqual(link.bridgePort, {
    hairpin: true,
    isolated: true,
    learning: false,
    guard: true,
    neighSuppress: false,
  });
  assert.deepEqual([link.alias, link.flags.promisc], ['pod ä', true]);
  const data = (ipLink(host, 'br0').linkinfo as { info_data: Record<string, unknown> }).info_data;
  assert.deepEqual([data.stp_state, data.mcast_snooping, data.ageing_time], [1, 0, 6000]);
  linkSet(conn, veth.ifIndex, { masterIndex: 0, alias: '' });
  assert.deepEqual([linkGet(conn, 'c').masterIndex, linkGet(conn, 'c').alias], [undefined, undefined]);
});

// One of each kind; the development kernel has no vlan and no ipvlan, then ENOTSUP is the right answer.
const kinds: ((parentIndex: number) => LinkSpec & { netnsFd?: never })[] = [
  () => ({ kind: 'dummy', name: 'x' }),
  () => ({ kind: 'ifb', name: 'x' }),
  (parentIndex) => ({ kind: 'vlan', name: 'x', parentIndex, vlanId: 100, protocol: '802.1ad' }),
  (parentIndex) => ({ kind: 'macvlan', name: 'x', parentIndex, mode: 'bridge', bcQueueLength: 77 }),
  (parentIndex) => ({ kind: 'ipvlan', name: 'x', parentIndex, mode: 'l3', isolation: 'vepa' }),
  (parentIndex) => ({
    kind: 'vxlan',
    name: 'x',
    vni: 4096,
    port: 4789,
    parentIndex,
    local: parseIp('192.0.2.1'),
    learning: false,
  }),
];

for (const kind of kinds) {
  const { kind: name } = kind(0);
  test(`${name}: made, and read back as it was asked for`, (context) => {
    using host = createTestNetns();
    using conn = openRtnlIn(host.pin);
    const parent = linkAdd(conn, { kind: 'veth', name: 'p', up: true, peer: { name: 'q' } });
    const spec = kind(parent.ifIndex);
    let link: ReturnType<typeof linkAdd>;
    try {
      link = linkAdd(conn, spec);
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'ENOTSUP');
      assert.match((error as Error).message, /^add link "x": ENOTSUP \(.*\): Unknown device type$/);
      assert.throws(() => host.run('ip', 'link', 'add', 'y', 'type', name), /Unknown device type/);
      context.skip(`this kernel has no ${name}`);
      return;
    }
    assert.equal(link.kind, name);
    assert.equal((ipLink(host, 'x').linkinfo as { info_kind: string }).info_kind, name);
    if (spec.kind === 'vlan') assert.deepEqual(link.vlan, { id: 100, protocol: '802.1ad' });
    if (spec.kind === 'macvlan') {
      assert.deepEqual(link.macvlan, { mode: 'bridge', bcQueueLength: 77 });
      assert.equal(link.peerIndex, parent.ifIndex);
    }
    if (spec.kind === 'ipvlan') assert.deepEqual(link.ipvlan, { mode: 'l3', isolation: 'vepa' });
    if (spec.kind === 'vxlan') {
      assert.deepEqual(link.vxlan, {
        vni: 4096,
        port: 4789,
        parentIndex: parent.ifIndex,
        local: parseIp('192.0.2.1'),
        learning: false,
      });
    }
  });
}

test('a tap is made as asked for, once, and stays', () => {
  using pod = createTestNetns();
  using conn = openRtnlIn(pod.pin);
  inNetns<void>(pod.pin, () => tapCreate('t0', { multiQueue: true, owner: 0, group: 65_534 }));
  const tap = linkGet(conn, 't0');
  assert.equal(tap.kind, 'tun');
  assert.deepEqual(tap.tun, { type: 'tap', owner: 0, group: 65_534, persistent: true, multiQueue: true });
  inNetns<void>(pod.pin, () => tapCreate('t1'));
  assert.deepEqual(linkGet(conn, 't1').tun, { type: 'tap', persistent: true, multiQueue: false });
  for (const taken of ['t0', 'lo']) {
    assert.throws(() => inNetns<void>(pod.pin, () => tapCreate(taken)), { code: 'EBUSY' });
  }
  assert.throws(() => inNetns<void>(pod.pin, () => tapCreate('t2', { owner: 2 ** 32 - 1 })), {
    code: 'EINVAL',
  });
  assert.equal(linkFind(conn, 't2'), undefined);
  for (const name of ['', 'a\0b', 'longer-than-15-b']) assert.equal(linkFind(conn, name), undefined);
  assert.throws(() => tapCreate('a-name-of-16-byte'), RangeError);
});

test('a macvlan is made straight in a pod; lists are filtered', () => {
  using host = createTestNetns();
  using pod = createTestNetns();
  using conn = openRtnlIn(host.pin);
  using podConn = openRtnlIn(pod.pin);
  const parent = linkAdd(conn, { kind: 'veth', name: 'p', peer: { name: 'q' } });
  linkAddIn(conn, { kind: 'macvlan', name: 'eth0', parentIndex: parent.ifIndex, netnsFd: pod.fd });
  assert.equal(linkGet(podConn, 'eth0').kind, 'macvlan');
  assert.equal(linkFind(conn, 'eth0'), undefined);
  const bridge = linkAdd(conn, { kind: 'bridge', name: 'br0' });
  linkSet(conn, linkGet(conn, 'q').ifIndex, { masterIndex: bridge.ifIndex });
  const names = (filter?: Parameters<typeof linkList>[1]) => linkList(conn, filter).map((link) => link.name);
  assert.deepEqual(names().sort(), ['br0', 'lo', 'p', 'q']);
  assert.deepEqual(names({ kind: 'bridge' }), ['br0']);
  assert.deepEqual(names({ masterIndex: bridge.ifIndex }), ['q']);
});

test('refusals name the link and the reason, and leave nothing behind', () => {
  using host = createTestNetns();
  using conn = openRtnlIn(host.pin);
  linkAdd(conn, { kind: 'bridge', name: 'br0' });
  const code = (work: () => unknown) => {
    try {
      work();
      return 'done';
    } catch (error) {
      return (error as { code?: string }).code;
    }
  };
  assert.equal(
    code(() => linkAdd(conn, { kind: 'bridge', name: 'br0' })),
    'EEXIST',
  );
  assert.equal(
    code(() => linkSet(conn, 999, { up: true })),
    'ENODEV',
  );
  assert.equal(
    code(() => linkSetBridgePort(conn, linkGet(conn, 'br0').ifIndex, { hairpin: true })),
    'ENOTSUP',
  );
  const orphan: LinkSpec & { netnsFd?: never } = {
    kind: 'veth',
    name: 'veth0',
    masterIndex: 999,
    peer: { name: 'peer0' },
  };
  assert.throws(() => linkAdd(conn, orphan), /^NetlinkError: add link "veth0": /);
  assert.deepEqual(
    linkList(conn).map((link) => link.name),
    ['lo', 'br0'],
  );
});
