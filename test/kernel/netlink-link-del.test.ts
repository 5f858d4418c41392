import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  addrAdd,
  linkAdd,
  linkDel,
  linkFind,
  linkGet,
  linkList,
  openRtnlIn,
  parseCidr,
  type Rtnl,
} from '@amphipod/netlink';
import { createTestNetns } from './netlink-namespaces.ts';

function addVeths(conn: Rtnl, count: number, prefix = 'v'): string[] {
  return Array.from({ length: count }, (_, index) => {
    const name = `${prefix}${index}`;
    linkAdd(conn, { kind: 'veth', name, up: true, peer: { name: `${name}p` } });
    return name;
  });
}

test('when it resolves, link and peer are gone and the name is free', async () => {
  using host = createTestNetns();
  using pod = createTestNetns();
  using conn = openRtnlIn(host.pin);
  using podConn = openRtnlIn(pod.pin);
  for (let round = 0; round < 20; round++) {
    linkAdd(conn, { kind: 'veth', name: 'veth0', up: true, peer: { name: 'eth0', netnsFd: pod.fd } });
    addrAdd(podConn, linkGet(podConn, 'eth0').ifIndex, parseCidr('10.0.0.2/24'));
    assert.equal(await linkDel(conn, 'veth0'), true);
    assert.equal(linkFind(conn, 'veth0'), undefined);
    assert.equal(linkFind(podConn, 'eth0'), undefined);
  }
});

test('fifty links at once from one connection, while it does other things', async () => {
  using host = createTestNetns();
  using conn = openRtnlIn(host.pin);
  const names = addVeths(conn, 50);
  const deletions = Promise.all(names.map((name) => linkDel(conn, name)));
  for (let i = 0; i < 20; i++) {
    const made = linkAdd(conn, { kind: 'bridge', name: `br${i}` });
    assert.equal(linkGet(conn, made.ifIndex).name, `br${i}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  assert.deepEqual(await deletions, Array(50).fill(true));
  assert.deepEqual(linkList(conn, { kind: 'veth' }), []);
});

test('fifty links each from four connections, in two namespaces', async () => {
  using first = createTestNetns();
  using second = createTestNetns();
  const conns = [first, first, second, second].map((netns) => openRtnlIn(netns.pin));
  const results = await Promise.all(
    conns.map((conn, index) =>
      Promise.all(addVeths(conn, 50, `v${index}x`).map((name) => linkDel(conn, name))),
    ),
  );
  assert.ok(results.flat().every((result) => result === true));
  for (const conn of conns) {
    assert.deepEqual(linkList(conn, { kind: 'veth' }), []);
    conn.close();
  }
});

test('no such link is false; two who delete one link both see it go; a link that cannot be deleted is an error', async () => {
  using host = createTestNetns();
  using conn = openRtnlIn(host.pin);
  assert.equal(await linkDel(conn, 'nothing'), false);
  assert.equal(await linkDel(conn, 4711), false);
  assert.equal(await linkDel(conn, 0), false);
  addVeths(conn, 1);
  const both = await Promise.all([linkDel(conn, 'v0'), linkDel(conn, 'v0')]);
  assert.equal(both[0], true);
  assert.equal(linkFind(conn, 'v0'), undefined);
  await assert.rejects(linkDel(conn, 'lo'), { code: 'ENOTSUP', op: 'delete link "lo"' });
});

test('a connection may be closed while a deletion is under way', async () => {
  using host = createTestNetns();
  const conn = openRtnlIn(host.pin);
  const [name] = addVeths(conn, 1);
  const deletion = linkDel(conn, name!);
  conn.close();
  assert.equal(await deletion, true);
  await assert.rejects(linkDel(conn, 1), /connection is closed/);
});

test('a namespace whose pin is gone can still be cleaned through its connection', async () => {
  using host = createTestNetns();
  const pod = createTestNetns();
  using podConn = openRtnlIn(pod.pin);
  using conn = openRtnlIn(host.pin);
  linkAdd(conn, { kind: 'veth', name: 'veth0', peer: { name: 'eth0', netnsFd: pod.fd } });
  pod[Symbol.dispose]();
  assert.equal(await linkDel(podConn, 'eth0'), true);
  assert.equal(linkFind(conn, 'veth0'), undefined);
});
