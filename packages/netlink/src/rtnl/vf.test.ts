import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MessageWriter } from '../attributes.ts';
import { ack, attributes, fakeSocket, isProtocolError } from '../fake-kernel.ts';
import { IFLA, IFLA_VF, RTM } from './constants.ts';
import { Rtnl } from './rtnl.ts';
import { parseVfs, vfList, vfSet } from './vf.ts';

const words = (...values: number[]) => {
  const bytes = Buffer.alloc(values.length * 4);
  for (const [i, value] of values.entries()) bytes.writeUInt32LE(value, i * 4);
  return bytes;
};

function vf(writer: MessageWriter, index: number, more: () => void): void {
  writer.nested(1, () => {
    const mac = Buffer.alloc(36);
    mac.writeUInt32LE(index, 0);
    Buffer.from('0200000000aa', 'hex').copy(mac, 4);
    writer.bytesOf(IFLA_VF.MAC, mac);
    more();
  });
}

const payload = (fill: (writer: MessageWriter) => void) =>
  Buffer.concat([Buffer.alloc(16), attributes((w) => w.nested(IFLA.VFINFO_LIST, () => fill(w)))]);

test('virtual functions are read; what a driver does not know is left out', () => {
  const message = payload((w) => {
    vf(w, 0, () => {
      w.bytesOf(IFLA_VF.VLAN, words(0, 100, 3));
      w.nested(IFLA_VF.VLAN_LIST, () => w.bytesOf(1, Buffer.from('00000000640000000300000088a80000', 'hex')));
      w.bytesOf(IFLA_VF.RATE, words(0, 10, 200));
      w.bytesOf(IFLA_VF.SPOOFCHK, words(0, 1));
      w.bytesOf(IFLA_VF.LINK_STATE, words(0, 2));
      w.bytesOf(IFLA_VF.TRUST, words(0, 0));
    });
    vf(w, 1, () => {
      w.bytesOf(IFLA_VF.SPOOFCHK, words(1, 0xffffffff));
      w.bytesOf(IFLA_VF.TRUST, words(1, 0xffffffff));
    });
  });
  assert.deepEqual(parseVfs(message), [
    {
      index: 0,
      mac: '02:00:00:00:00:aa',
      vlan: { id: 100, qos: 3, protocol: '802.1ad' },
      rate: { min: 10, max: 200 },
      linkState: 'disable',
      spoofCheck: true,
      trust: false,
    },
    {
      index: 1,
      mac: '02:00:00:00:00:aa',
      vlan: { id: 0, qos: 0, protocol: '802.1Q' },
      rate: { min: 0, max: 0 },
      linkState: 'auto',
    },
  ]);
});

test('a link without virtual functions has none; structures that are too short are refused', () => {
  const socket = fakeSocket(() => [{ type: RTM.NEWLINK, payload: Buffer.alloc(16) }]);
  const conn = new Rtnl(socket, () => assert.fail());
  assert.deepEqual(vfList(conn, 3), []);
  // struct ifinfomsg with the index, then IFLA_EXT_MASK: virtual functions, no counters.
  assert.equal(
    socket.sent[0]!.payload.toString('hex'),
    '00000000030000000000000000000000' + '08001d0009000000',
  );
  const short = (type: number, bytes: number) =>
    payload((w) => w.nested(1, () => w.bytesOf(type, Buffer.alloc(bytes))));
  for (const type of Object.values(IFLA_VF).filter((each) => each !== IFLA_VF.VLAN_LIST)) {
    assert.throws(() => parseVfs(short(type, 3)), isProtocolError, `attribute ${type}`);
  }
  const vlans = payload((w) =>
    w.nested(1, () => w.nested(IFLA_VF.VLAN_LIST, () => w.bytesOf(1, Buffer.alloc(12)))),
  );
  assert.throws(() => parseVfs(vlans), isProtocolError);
});

test('each setting goes out as the structure that the kernel wants', () => {
  const socket = fakeSocket(() => [ack()]);
  const conn = new Rtnl(socket, () => assert.fail());
  const sent = (settings: object) => {
    vfSet(conn, 3, { index: 2, ...settings });
    const { payload: bytes } = socket.sent.at(-1)!;
    // After struct ifinfomsg and the two headers around a function.
    return bytes.subarray(24).toString('hex');
  };
  assert.equal(sent({ mac: '02:00:00:00:00:01' }), `28000100${'02000000'}020000000001${'00'.repeat(26)}`);
  assert.equal(
    sent({ vlan: { id: 100, qos: 3, protocol: '802.1Q' } }),
    `18000c80${'14000100'}02000000${'64000000'}03000000${'81000000'}`,
  );
  assert.equal(sent({ rate: { min: 1, max: 2 } }), `10000600${'02000000'}01000000${'02000000'}`);
  assert.equal(sent({ spoofCheck: false }), `0c000400${'02000000'}00000000`);
  assert.equal(sent({ trust: true }), `0c000900${'02000000'}01000000`);
  assert.equal(sent({ linkState: 'enable' }), `0c000500${'02000000'}01000000`);
  const refused = new Rtnl(
    fakeSocket(() => [ack(95)]),
    () => assert.fail(),
  );
  assert.throws(() => vfSet(refused, 3, { index: 2, linkState: 'auto' }), {
    message: /^set linkState of vf 2 of link 3: ENOTSUP/,
  });
});
