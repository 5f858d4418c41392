import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  bridgeVlanAdd,
  bridgeVlanDel,
  bridgeVlanList,
  linkAdd,
  linkGet,
  linkSet,
  NetlinkError,
  openRtnlIn,
  type Rtnl,
} from '@amphipod/netlink';
import { createTestNetns, type TestNetns } from './netlink-namespaces.ts';

/** Says why the test is skipped when the kernel refuses. */
function reasonToSkip(what: string, act: (conn: Rtnl) => void): string | false {
  using netns = createTestNetns();
  using conn = openRtnlIn(netns.pin);
  try {
    act(conn);
    return false;
  } catch (error) {
    if (error instanceof NetlinkError && error.code === 'ENOTSUP') return `this kernel has no ${what}`;
    throw error;
  }
}

const noFiltering = reasonToSkip('VLAN filtering for bridges', (conn) => {
  linkAdd(conn, { kind: 'bridge', name: 'br0', vlanFiltering: true });
});
const noVlanLinks = reasonToSkip('vlan links', (conn) => {
  const { ifIndex } = linkAdd(conn, { kind: 'bridge', name: 'br0' });
  linkAdd(conn, { kind: 'vlan', name: 'br0.7', parentIndex: ifIndex, vlanId: 7 });
});

/** `bridge vlan show`: `10-12`, `100 PVID Egress Untagged`. */
function shown(netns: TestNetns, device: string): string[] {
  const all = JSON.parse(netns.run('bridge', '-j', '-compressvlans', 'vlan', 'show')) as {
    ifname: string;
    vlans: { vlan: number; vlanEnd?: number; flags?: string[] }[];
  }[];
  const { vlans } = all.find(({ ifname }) => ifname === device) ?? { vlans: [] };
  return vlans.map(({ vlan, vlanEnd, flags = [] }) =>
    [vlanEnd === undefined ? vlan : `${vlan}-${vlanEnd}`, ...flags].join(' '),
  );
}

test('VLANs of ports and of the bridge are what bridge(8) shows', { skip: noFiltering }, () => {
  using netns = createTestNetns();
  using conn = openRtnlIn(netns.pin);
  const bridge = linkAdd(conn, { kind: 'bridge', name: 'br0', vlanFiltering: true, up: true });
  assert.deepEqual(linkGet(conn, 'br0').bridge, {
    vlanFiltering: true,
    stp: false,
    mcastSnooping: true,
    vlanDefaultPvid: 1,
  });
  const port = linkAdd(conn, {
    kind: 'veth',
    name: 'veth0',
    masterIndex: bridge.ifIndex,
    up: true,
    peer: { name: 'veth1' },
  });
  assert.deepEqual(bridgeVlanList(conn, port.ifIndex), [{ vlanId: 1, isPvid: true, isUntagged: true }]);
  bridgeVlanDel(conn, port.ifIndex, { vlanId: 1 });
  bridgeVlanAdd(conn, port.ifIndex, { vlanId: 10, lastVlanId: 12 });
  bridgeVlanAdd(conn, port.ifIndex, { vlanId: 100, isPvid: true, isUntagged: true });
  bridgeVlanAdd(conn, bridge.ifIndex, { vlanId: 100, isSelf: true });
  assert.deepEqual(shown(netns, 'veth0'), ['10-12', '100 PVID Egress Untagged']);
  assert.deepEqual(shown(netns, 'br0'), ['1 PVID Egress Untagged', '100']);
  assert.deepEqual(bridgeVlanList(conn, port.ifIndex), [
    { vlanId: 10, lastVlanId: 12, isPvid: false, isUntagged: false },
    { vlanId: 100, isPvid: true, isUntagged: true },
  ]);
  assert.deepEqual(
    bridgeVlanList(conn, bridge.ifIndex).map(({ vlanId }) => vlanId),
    [1, 100],
  );
  bridgeVlanDel(conn, bridge.ifIndex, { vlanId: 100, isSelf: true });
  bridgeVlanDel(conn, port.ifIndex, { vlanId: 10, lastVlanId: 11 });
  assert.deepEqual(shown(netns, 'br0'), ['1 PVID Egress Untagged']);
  assert.deepEqual(shown(netns, 'veth0'), ['12', '100 PVID Egress Untagged']);
  // Nothing else in the namespace is listed along.
  assert.deepEqual(bridgeVlanList(conn, port.peerIndex!), []);
});

test('filtering is switched on and off on a bridge that is there', { skip: noFiltering }, () => {
  using netns = createTestNetns();
  using conn = openRtnlIn(netns.pin);
  const { ifIndex } = linkAdd(conn, { kind: 'bridge', name: 'br0' });
  assert.equal(linkGet(conn, ifIndex).bridge!.vlanFiltering, false);
  linkSet(conn, ifIndex, { bridge: { vlanFiltering: true, vlanDefaultPvid: 5 } });
  assert.equal(linkGet(conn, ifIndex).bridge!.vlanFiltering, true);
  assert.equal(linkGet(conn, ifIndex).bridge!.vlanDefaultPvid, 5);
  linkSet(conn, ifIndex, { bridge: { vlanFiltering: false } });
  assert.equal(linkGet(conn, ifIndex).bridge!.vlanFiltering, false);
});

test('a vlan link sits on its parent', { skip: noVlanLinks }, () => {
  using netns = createTestNetns();
  using conn = openRtnlIn(netns.pin);
  const parent = linkAdd(conn, { kind: 'bridge', name: 'br0', mac: '02:00:00:00:00:01' });
  const made = linkAdd(conn, {
    kind: 'vlan',
    name: 'br0.7',
    parentIndex: parent.ifIndex,
    vlanId: 7,
    up: true,
  });
  const link = linkGet(conn, 'br0.7');
  assert.deepEqual(
    [link.ifIndex, link.kind, link.peerIndex, link.vlan, link.mac],
    [made.ifIndex, 'vlan', parent.ifIndex, { id: 7 }, '02:00:00:00:00:01'],
  );
  assert.match(netns.run('ip', '-d', 'link', 'show', 'br0.7'), /vlan protocol 802\.1Q id 7/);
});
