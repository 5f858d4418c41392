import assert from 'node:assert/strict';
import { test } from 'node:test';
import { conntrackFlush, conntrackList, nft, nftTransaction, openNftIn, parseIp } from '@amphipod/netlink';
import { createTestNetns, type TestNetns } from './netlink-namespaces.ts';

const UDP = 17;

/** A namespace that tracks flows, with some to ports 5000 to 5004 on both loopback addresses. */
function withFlows(): TestNetns {
  const netns = createTestNetns();
  netns.run('ip', 'link', 'set', 'lo', 'up');
  using conn = openNftIn(netns.pin);
  const at = { family: 'inet', table: 't' } as const;
  nftTransaction(conn, [
    { op: 'add', object: 'table', ...at },
    { op: 'add', object: 'chain', ...at, chain: 'o', base: { type: 'filter', hook: 'output', priority: 0 } },
    {
      op: 'add',
      object: 'rule',
      ...at,
      chain: 'o',
      expressions: [nft.hasAny(nft.ct.state, nft.ctStates.new)],
    },
  ]);
  const send = `for port in 5000 5001 5002 5003 5004; do
    for host in 127.0.0.1 ::1; do echo x > /dev/udp/$host/$port; done
  done 2> /dev/null; true`;
  netns.run('bash', '-c', send);
  return netns;
}

test('flows are listed by what their first packet had', () => {
  using netns = withFlows();
  using conn = openNftIn(netns.pin);
  const ports = (filter: Omit<Parameters<typeof conntrackList>[1], 'family'>, family: 4 | 6 = 4) =>
    conntrackList(conn, { family, ...filter })
      .filter((flow) => flow.protocol === UDP)
      .map((flow) => flow.dstPort)
      .sort();
  const all = [5000, 5001, 5002, 5003, 5004];
  for (const family of [4, 6] as const) {
    const loopback = parseIp(family === 4 ? '127.0.0.1' : '::1');
    assert.deepEqual(ports({}, family), all);
    assert.deepEqual(ports({ protocol: UDP, dstPort: 5003 }, family), [5003]);
    assert.deepEqual(ports({ dstPort: 5003 }, family), [5003]);
    assert.deepEqual(ports({ protocol: UDP, dst: loopback, src: loopback }, family), all);
    assert.deepEqual(ports({ protocol: 6 }, family), []);
  }
  assert.deepEqual(ports({ dst: parseIp('127.0.0.2') }), []);
  assert.deepEqual(ports({ dst: parseIp('::2') }, 6), []);
});

test('flushing removes the flows that fit, and only those, and counts them', () => {
  using netns = withFlows();
  using conn = openNftIn(netns.pin);
  assert.equal(conntrackFlush(conn, { family: 4, protocol: UDP, dstPort: 5001 }), 1);
  assert.equal(conntrackFlush(conn, { family: 4, protocol: UDP, dstPort: 5001 }), 0);
  assert.equal(conntrackFlush(conn, { family: 6, protocol: UDP, dst: parseIp('::1'), dstPort: 5002 }), 1);
  const left = (family: 4 | 6) =>
    conntrackList(conn, { family, protocol: UDP })
      .map((flow) => flow.dstPort)
      .sort();
  assert.deepEqual(left(4), [5000, 5002, 5003, 5004]);
  assert.deepEqual(left(6), [5000, 5001, 5003, 5004]);
  assert.equal(conntrackFlush(conn, { family: 4, dst: parseIp('127.0.0.1'), protocol: UDP }), 4);
  assert.deepEqual(left(4), []);
});
