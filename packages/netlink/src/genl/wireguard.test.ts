import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AttributeReader } from '../attributes.ts';
import { NLM_F } from '../conn.ts';
import { ack, attributes, done, type FakeKernel, fakeSocket, isProtocolError } from '../fake-kernel.ts';
import { formatCidr, formatIp, parseCidr, parseIp } from '../ip.ts';
import { Genl } from './genl.ts';
import { isWireguardKey, wireguardGet, wireguardSet } from './wireguard.ts';

const FAMILY = 0x21;
const key = (byte: number) => Buffer.alloc(32, byte).toString('base64');

/** A kernel that has WireGuard: the control family says where, `kernel` does the rest. */
function connect(kernel: FakeKernel) {
  const socket = fakeSocket((request) => {
    if (request.type !== 0x10) return kernel(request);
    const name = attributes((w) => w.string(2, 'wireguard')).toString('hex');
    if (request.payload.subarray(4).toString('hex') !== name) return [ack(2)];
    const payload = Buffer.concat([Buffer.from([1, 2, 0, 0]), attributes((w) => w.u16(1, FAMILY))]);
    return [{ type: 0x10, payload }, ack()];
  });
  return { conn: new Genl(socket), socket };
}

const answer = (fill: Parameters<typeof attributes>[0]) => ({
  type: FAMILY,
  flags: NLM_F.MULTI,
  payload: Buffer.concat([Buffer.from([0, 1, 0, 0]), attributes(fill)]),
});

test('a change goes out with device, key, port and peers; the family is asked for once', () => {
  const { conn, socket } = connect(() => [ack()]);
  wireguardSet(conn, 'wg0', {
    privateKey: key(7),
    listenPort: 51820,
    removedPeers: [key(1)],
    peers: [
      {
        publicKey: key(2),
        presharedKey: key(3),
        endpoint: { ip: parseIp('192.0.2.9'), port: 51820 },
        keepaliveSeconds: 25,
        allowedIps: [parseCidr('10.244.9.0/24'), parseCidr('fd00:9::/64')],
      },
    ],
  });
  wireguardSet(conn, 'wg0', { listenPort: 1 });
  assert.deepEqual(
    socket.sent.map(({ type }) => type),
    [0x10, FAMILY, FAMILY],
  );
  const { payload, flags } = socket.sent[1]!;
  assert.equal(flags, NLM_F.REQUEST | NLM_F.ACK);
  assert.equal(payload.subarray(0, 4).toString('hex'), '01010000');
  const device = new AttributeReader(payload, 4);
  const seen: Record<number, string> = {};
  while (device.next()) {
    seen[device.type] = device.bytes().toString('hex');
    if (device.type !== 8) continue;
    const peers = device.nested();
    assert.ok(peers.next());
    assert.equal(
      peers.bytes().toString('hex'),
      attributes((w) => {
        w.bytesOf(1, Buffer.alloc(32, 1));
        w.u32(3, 1);
      }).toString('hex'),
    );
    assert.ok(peers.next());
    const fields: Record<number, string> = {};
    const peer = peers.nested();
    while (peer.next()) fields[peer.type] = peer.bytes().toString('hex');
    assert.deepEqual(fields, {
      1: '02'.repeat(32),
      2: '03'.repeat(32),
      3: '02000000',
      // struct sockaddr_in: family, port, address, eight zeros
      4: '0200ca6cc0000209'.padEnd(32, '0'),
      5: '1900',
      9: [
        '1c000080',
        '060001000200000008000200',
        '0af409000500030018000000',
        '28000080',
        '060001000a00000014000200',
        'fd000009000000000000000000000000',
        '0500030040000000',
      ].join(''),
    });
    assert.equal(peers.next(), false);
  }
  assert.deepEqual(Object.keys(seen), ['2', '3', '6', '8']);
  assert.equal(seen[2], '77673000');
  assert.equal(seen[3], '07'.repeat(32));
  assert.equal(seen[6], '6cca');
});

test('peers by the hundred go out in several messages; key and port only in the first', () => {
  const { conn, socket } = connect(() => [ack()]);
  const endpoint = { ip: parseIp('2001:db8::1'), port: 51821 };
  const peers = Array.from({ length: 250 }, (_, i) => {
    const publicKey = Buffer.alloc(32, i + 1).toString('base64');
    return { publicKey, endpoint, keepaliveSeconds: 0, allowedIps: [parseCidr(`10.${i}.0.0/16`)] };
  });
  wireguardSet(conn, 'wg0', { listenPort: 51820, peers });
  const counts = socket.sent.slice(1).map(({ payload }) => {
    const found = { peers: 0, hasPort: false };
    const attrs = new AttributeReader(payload, 4);
    while (attrs.next()) {
      if (attrs.type === 6) found.hasPort = true;
      if (attrs.type !== 8) continue;
      const list = attrs.nested();
      while (list.next()) found.peers++;
    }
    return found;
  });
  assert.deepEqual(counts, [
    { peers: 100, hasPort: true },
    { peers: 100, hasPort: false },
    { peers: 50, hasPort: false },
  ]);
});

test('a device is read from several messages; a peer goes on in the next one', () => {
  const { conn } = connect(() => [
    answer((w) => {
      w.u16(6, 51820);
      w.u32(1, 7);
      w.string(2, 'wg0');
      w.bytesOf(3, Buffer.alloc(32, 9));
      w.bytesOf(4, Buffer.alloc(32, 5));
      w.nested(8, () => {
        w.nested(0, () => {
          w.bytesOf(1, Buffer.alloc(32, 2));
          w.bytesOf(2, Buffer.alloc(32));
          w.bytesOf(6, Buffer.from('0100000000000000404b4c0000000000', 'hex'));
          w.u16(5, 25);
          w.bytesOf(8, Buffer.from('0500000000000000', 'hex'));
          w.bytesOf(7, Buffer.from('ff00000000000000', 'hex'));
          w.bytesOf(4, Buffer.from(`0a00ca6d00000000${'20010db8'.padEnd(31, '0')}100000000`, 'hex'));
          w.nested(9, () =>
            w.nested(0, () => {
              w.u8(3, 24);
              w.u16(1, 2);
              w.bytesOf(2, Buffer.from([10, 244, 9, 0]));
            }),
          );
        });
      });
    }),
    answer((w) => {
      w.string(2, 'wg0');
      w.nested(8, () => {
        w.nested(0, () => {
          w.bytesOf(1, Buffer.alloc(32, 2));
          w.nested(9, () =>
            w.nested(0, () => {
              w.u8(3, 64);
              w.u16(1, 10);
              w.bytesOf(2, Buffer.from('fd000009'.padEnd(32, '0'), 'hex'));
            }),
          );
        });
        w.nested(0, () => {
          w.bytesOf(1, Buffer.alloc(32, 4));
          w.bytesOf(2, Buffer.alloc(32, 6));
          w.bytesOf(4, Buffer.from('0200ca6cc00002090000000000000000', 'hex'));
        });
      });
    }),
    done(),
  ]);
  const { peers, ...device } = wireguardGet(conn, 'wg0');
  assert.deepEqual(device, { ifIndex: 7, name: 'wg0', publicKey: key(5), listenPort: 51820 });
  const shown = peers.map(({ allowedIps, endpoint, ...peer }) => ({
    ...peer,
    allowedIps: allowedIps.map(formatCidr),
    endpoint: endpoint && `${formatIp(endpoint.ip)} ${endpoint.port}`,
  }));
  assert.deepEqual(shown, [
    {
      publicKey: key(2),
      keepaliveSeconds: 25,
      lastHandshakeMs: 1005,
      receivedBytes: 255n,
      sentBytes: 5n,
      allowedIps: ['10.244.9.0/24', 'fd00:9::/64'],
      endpoint: '2001:db8::1 51821',
    },
    {
      publicKey: key(4),
      presharedKey: key(6),
      keepaliveSeconds: 0,
      receivedBytes: 0n,
      sentBytes: 0n,
      allowedIps: [],
      endpoint: '192.0.2.9 51820',
    },
  ]);
});

test('a kernel without WireGuard says so by the family; a key that is none is refused before the device is asked for anything', () => {
  const socket = fakeSocket(() => [ack(2)]);
  const conn = new Genl(socket);
  assert.throws(() => wireguardGet(conn, 'wg0'), {
    code: 'ENOENT',
    message: /^find netlink family "wireguard": ENOENT/,
  });
  const { conn: good, socket: kernel } = connect(() => [ack()]);
  assert.throws(() => wireguardSet(good, 'wg0', { privateKey: 'AAAA' }), RangeError);
  assert.deepEqual(
    kernel.sent.map(({ type }) => type),
    [0x10],
  );
  assert.equal(isWireguardKey(key(255)), true);
  // 33 bytes, and bits that no byte has.
  assert.equal(isWireguardKey(Buffer.alloc(33).toString('base64')), false);
  assert.equal(isWireguardKey(`${'A'.repeat(42)}B=`), false);
});

test('an answer that does not hold together is a protocol error', () => {
  const answers = [
    answer((w) => w.u32(1, 7)),
    answer((w) => {
      w.string(2, 'wg0');
      w.bytesOf(4, Buffer.alloc(31));
    }),
    answer((w) => {
      w.string(2, 'wg0');
      w.nested(8, () => w.nested(0, () => w.u16(5, 1)));
    }),
    answer((w) => {
      w.string(2, 'wg0');
      w.nested(8, () =>
        w.nested(0, () => {
          w.bytesOf(1, Buffer.alloc(32, 2));
          w.bytesOf(4, Buffer.alloc(16));
        }),
      );
    }),
  ];
  for (const one of answers) {
    const { conn } = connect(() => [one, done()]);
    assert.throws(() => wireguardGet(conn, 'wg0'), isProtocolError);
  }
});
