import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { echoRequest, parseIcmp } from './icmp.ts';

const key = { id: 0x1234, sequence: 7 };
/** struct iphdr with options, as routers quote it. */
const ipv4Header = Buffer.concat([Buffer.from([0x46]), Buffer.alloc(23)]);

function error(type: number, code: number, rest: number, quoted: Buffer): Buffer {
  const header = Buffer.alloc(8);
  header[0] = type;
  header[1] = code;
  header.writeUInt32BE(rest, 4);
  return Buffer.concat([header, quoted]);
}

test('a request has the size of its packet and, for IPv4, a checksum', () => {
  const request = echoRequest(4, key, 84);
  assert.equal(request.length, 64);
  // 0x0800 + 0x1234 + 0x0007, complemented
  assert.equal(request.subarray(0, 8).toString('hex'), '0800e5c412340007');
  assert.equal(echoRequest(4, key, 85).length, 65);
  assert.equal(echoRequest(6, key, 1280).length, 1240);
  assert.equal(echoRequest(6, key, 1280).subarray(0, 8).toString('hex'), '8000000012340007');
});

test('replies, and errors that quote the request, are read', () => {
  const reply = echoRequest(4, key, 84);
  reply[0] = 0;
  assert.deepEqual(parseIcmp(4, reply), { type: 'reply', ...key });
  const quoted4 = Buffer.concat([ipv4Header, echoRequest(4, key, 28)]);
  assert.deepEqual(parseIcmp(4, error(3, 4, 1400, quoted4)), { type: 'too-big', mtu: 1400, ...key });
  assert.deepEqual(parseIcmp(4, error(3, 13, 0, quoted4)), {
    type: 'unreachable',
    why: 'prohibited',
    ...key,
  });
  assert.deepEqual(parseIcmp(4, error(3, 99, 0, quoted4)), {
    type: 'unreachable',
    why: 'unreachable, code 99',
    ...key,
  });
  const quoted6 = Buffer.concat([Buffer.alloc(40), echoRequest(6, key, 48)]);
  assert.deepEqual(parseIcmp(6, error(2, 0, 70_000, quoted6)), { type: 'too-big', mtu: 70_000, ...key });
  assert.deepEqual(parseIcmp(6, error(1, 4, 0, quoted6)), {
    type: 'unreachable',
    why: 'port unreachable',
    ...key,
  });
});

test('what answers no request is none', () => {
  assert.equal(parseIcmp(4, echoRequest(4, key, 84)), undefined);
  assert.equal(parseIcmp(4, Buffer.alloc(7)), undefined);
  // An error about a packet that was no echo request, or that quotes too little of it.
  assert.equal(parseIcmp(4, error(3, 3, 0, Buffer.concat([ipv4Header, Buffer.alloc(8, 1)]))), undefined);
  assert.equal(parseIcmp(4, error(3, 3, 0, ipv4Header)), undefined);
  assert.equal(parseIcmp(6, error(1, 0, 0, Buffer.alloc(40))), undefined);
});

test('no bytes make the reader throw', () => {
  const family = fc.constantFrom(4 as const, 6 as const);
  fc.assert(
    fc.property(family, fc.uint8Array({ maxLength: 120 }), (version, bytes) => {
      parseIcmp(version, Buffer.from(bytes));
    }),
  );
});
