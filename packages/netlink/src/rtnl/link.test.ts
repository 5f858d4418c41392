import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AttributeReader } from '../attributes.ts';
import { type NetlinkMessage, NLM_F } from '../conn.ts';
import { ack, attributes, type FakeReply, type FakeSocket, fakeSocket } from '../fake-kernel.ts';
import { bridgeVlanAdd } from './bridge-vlan.ts';
import { IFLA, RTM } from './constants.ts';
import {
  linkAdd,
  linkAddAltName,
  linkAddIn,
  linkDelAltName,
  linkFind,
  linkGet,
  linkList,
  linkSet,
} from './link.ts';
import { Rtnl } from './rtnl.ts';

function connect(kernel: (request: NetlinkMessage) => FakeReply[]): { conn: Rtnl; socket: FakeSocket } {
  const socket = fakeSocket(kernel);
  const conn = new Rtnl(socket, () => {
    throw new Error('no sibling wanted here');
  });
  return { conn, socket };
}

function linkMessage(name: string, ifIndex: number, family = 0): FakeReply {
  const header = Buffer.alloc(16);
  header[0] = family;
  header.writeInt32LE(ifIndex, 4);
  return {
    type: RTM.NEWLINK,
    payload: Buffer.concat([header, attributes((w) => w.string(IFLA.IFNAME, name))]),
  };
}

/** Attributes as a tree of hexadecimal text; the types in `nests` hold attributes. */
function tree(reader: AttributeReader, nests: Record<number, unknown>): Record<number, unknown> {
  const found: Record<number, unknown> = {};
  while (reader.next()) {
    const inner = nests[reader.type];
    found[reader.type] =
      inner === undefined
        ? reader.bytes().toString('hex')
        : tree(reader.nested(), inner as Record<number, unknown>);
  }
  return found;
}

test('a veth goes out as one message with everything in it', () => {
  const { conn, socket } = connect(() => [linkMessage('veth0', 7), ack()]);
  const link = linkAdd(conn, {
    kind: 'veth',
    name: 'veth0',
    mtu: 1450,
    mac: '02:00:00:00:00:01',
    masterIndex: 3,
    up: true,
    peer: { name: 'eth0', netnsFd: 9, mtu: 1450, mac: '02:00:00:00:00:02' },
  });
  assert.equal(socket.sent.length, 1);
  const [request] = socket.sent;
  assert.equal(request!.type, RTM.NEWLINK);
  assert.equal(request!.flags, NLM_F.REQUEST | NLM_F.ACK | NLM_F.CREATE | NLM_F.EXCL | NLM_F.ECHO);
  // struct ifinfomsg: IFF_UP in flags and in the mask of what changes.
  assert.equal(request!.payload.subarray(0, 16).toString('hex'), '00000000000000000100000001000000');
  assert.deepEqual(tree(new AttributeReader(request!.payload, 16), { 18: { 2: {} } }), {
    1: '020000000001',
    3: '766574683000',
    4: 'aa050000',
    10: '03000000',
    18: {
      1: '7665746800',
      2: {
        // VETH_INFO_PEER: struct ifinfomsg, then IFNAME, MTU, ADDRESS, NET_NS_FD
        1: [
          '00000000000000000000000000000000',
          '0900030065746830000000000800'.concat('0400aa050000'),
          '0a000100020000000002',
          '0000',
          '08001c0009000000',
        ].join(''),
      },
    },
  });
  assert.deepEqual([link.ifIndex, link.name, link.masterIndex], [7, 'veth0', 3]);
});

test('a kernel that sends no echo is asked for the new link', () => {
  const { conn, socket } = connect((request) =>
    request.type === RTM.GETLINK ? [linkMessage('br0', 5)] : [linkMessage('br0', 5, 7), ack()],
  );
  assert.equal(linkAdd(conn, { kind: 'bridge', name: 'br0' }).ifIndex, 5);
  assert.deepEqual(
    socket.sent.map((message) => message.type),
    [RTM.NEWLINK, RTM.GETLINK],
  );
});

test('a link that is made elsewhere is not asked for here', () => {
  const { conn, socket } = connect(() => [ack()]);
  linkAddIn(conn, { kind: 'macvlan', name: 'eth0', parentIndex: 2, netnsFd: 9 });
  assert.equal(socket.sent.length, 1);
  const sent = tree(new AttributeReader(socket.sent[0]!.payload, 16), { 18: { 2: {} } });
  assert.deepEqual(sent, {
    3: '6574683000',
    5: '02000000',
    18: { 1: '6d6163766c616e00', 2: { 1: '04000000' } },
    28: '09000000',
  });
});

test('a missing link is undefined to find and ENODEV to get', () => {
  const { conn, socket } = connect(() => [ack(19)]);
  assert.equal(linkFind(conn, 'eth0'), undefined);
  assert.throws(() => linkGet(conn, 'eth0'), { code: 'ENODEV', op: 'get link "eth0"' });
  assert.equal(socket.sent.length, 2);
});

test('names and indexes that no link can have are not asked for', () => {
  const { conn, socket } = connect(() => [ack(22)]);
  for (const impossible of ['', 'a-name-of-16-byte', 0, -1])
    assert.equal(linkFind(conn, impossible), undefined);
  assert.equal(socket.sent.length, 0);
});

test('another error is not mistaken for a missing link', () => {
  const { conn } = connect(() => [ack(1)]);
  assert.throws(() => linkFind(conn, 'eth0'), { code: 'EPERM' });
});

test('a kernel that does not filter changes nothing for the caller', () => {
  const { conn } = connect(() => [linkMessage('eth0', 2), { type: 3, payload: Buffer.alloc(4) }]);
  assert.deepEqual(linkList(conn, { kind: 'veth' }), []);
  assert.equal(linkList(conn).length, 1);
});

test('what is not given is not changed', () => {
  const { conn, socket } = connect(() => [ack()]);
  linkSet(conn, 4, { up: false, promisc: true });
  assert.equal(socket.sent[0]!.payload.toString('hex'), '00000000040000000001000001010000');
  linkSet(conn, 4, { alias: 'a', bridgePort: { hairpin: true, isolated: false } });
  assert.deepEqual(tree(new AttributeReader(socket.sent[1]!.payload, 16), { 18: { 5: {} } }), {
    18: { 4: '62726964676500', 5: { 4: '01', 33: '00' } },
    20: '61',
  });
});

test('values that no link can have are refused before anything is sent', () => {
  const { conn, socket } = connect(() => [ack()]);
  assert.throws(() => linkSet(conn, 4, { mac: '02:00:00:00:00' }), RangeError);
  assert.throws(() => linkSet(conn, 4, { alias: 'x'.repeat(256) }), RangeError);
  assert.throws(() => linkSet(conn, 4, { name: 'a\0b' }), RangeError);
  assert.equal(socket.sent.length, 0);
});

test('VLANs of a bridge port: one and a range', () => {
  const { conn, socket } = connect(() => [ack()]);
  bridgeVlanAdd(conn, 4, { vlanId: 100, isPvid: true, isUntagged: true });
  bridgeVlanAdd(conn, 4, { vlanId: 200, lastVlanId: 300, isSelf: true });
  const bodies = socket.sent.map((message) => message.payload.subarray(16).toString('hex'));
  assert.deepEqual(bodies, [
    '0c001a80080002000600'.concat('6400'),
    '1c001a8006000000020000000800020008'.concat('00c8000800020010002c01'),
  ]);
  assert.ok(socket.sent.every((message) => message.payload[0] === 7 && message.type === RTM.SETLINK));
});

test('alternative names are properties of a link', () => {
  const { conn, socket } = connect(() => [ack()]);
  linkAddAltName(conn, 7, 'enp1s0v0');
  linkDelAltName(conn, 7, 'enp1s0v0');
  assert.deepEqual(
    socket.sent.map(({ type }) => type),
    [108, 109],
  );
  for (const { payload } of socket.sent) {
    assert.equal(payload.readInt32LE(4), 7);
    // IFLA_PROP_LIST, nested, with IFLA_ALT_IFNAME in it.
    const name = '656e703173307630'.concat('00000000');
    assert.equal(payload.subarray(16).toString('hex'), `14003480${'0d003500'}${name}`);
  }
});
