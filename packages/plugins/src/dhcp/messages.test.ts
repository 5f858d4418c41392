import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NetConf } from '@amphipod/cni';
import { parseIp } from '@amphipod/netlink';
import fc from 'fast-check';
import { readConfig } from './config.ts';

import { decodeDatagram, encodeDatagram } from './datagram.ts';
import { clientIdOf, describeExpiry, leaseTimes } from './lease-record.ts';
import { leaseResult } from './lease-result.ts';
import { type DhcpMessage, decodeReply, encodeMessage, messageType, OPTION } from './message.ts';
import { parseDuration } from './parse-duration.ts';

const hex = (text: string) => Buffer.from(text.replaceAll(' ', ''), 'hex');
const options = (...pairs: [number, string][]) => new Map(pairs.map(([code, text]) => [code, hex(text)]));

/** A server's answer as bytes. */
function reply(area: Buffer, more: { file?: Buffer } = {}): Buffer {
  const message: DhcpMessage = {
    xid: 0x01020304,
    secs: 0,
    broadcast: false,
    ciaddr: undefined,
    yiaddr: undefined,
    chaddr: hex('020000000001'),
    options: new Map(),
  };
  const head = encodeMessage(message).subarray(0, 240);
  head[0] = 2;
  hex('0a620032').copy(head, 16);
  more.file?.copy(head, 108);
  return Buffer.concat([head, area]);
}

test('a request, to the byte', () => {
  const bytes = encodeMessage({
    xid: 0x01020304,
    secs: 3,
    broadcast: true,
    ciaddr: parseIp('10.98.0.50'),
    yiaddr: undefined,
    chaddr: hex('020000000001'),
    options: options([OPTION.messageType, '03'], [OPTION.hostName, '706f64']),
  });
  assert.equal(bytes.length, 300);
  assert.deepEqual(
    bytes.subarray(0, 34),
    hex('01010600 01020304 0003 8000 0a620032 00000000 00000000 00000000 020000000001'),
  );
  assert.deepEqual(bytes.subarray(236, 250), hex('63825363 350103 0c03706f64 ff 00'));
});

test('options in pieces, in other fields, and cut off', () => {
  const long = encodeMessage({
    ...decodeReply(reply(hex('ff')))!,
    options: new Map([[OPTION.dns, Buffer.alloc(300, 7)]]),
  });
  long[0] = 2;
  assert.equal(decodeReply(long)!.options.get(OPTION.dns)!.length, 300);
  const overloaded = decodeReply(reply(hex('350105 340101 ff'), { file: hex('0304 0a620001 ff') }))!;
  assert.equal(messageType(overloaded), 5);
  assert.deepEqual(overloaded.options.get(OPTION.router), hex('0a620001'));
  assert.deepEqual([...decodeReply(reply(hex('00 350102 03')))!.options.keys()], [OPTION.messageType]);
  assert.deepEqual([...decodeReply(reply(hex('350102 0308 0a')))!.options.keys()], [OPTION.messageType]);
});

test('any bytes: an answer or none', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.boolean(), (bytes, asOptions) => {
      const packet = Buffer.from(bytes);
      decodeReply(asOptions ? reply(packet) : packet);
      decodeDatagram(packet);
    }),
    { numRuns: 5000 },
  );
});

test('datagrams: header, checksums, payload', () => {
  const packet = encodeDatagram(Buffer.from('odd'), parseIp('10.98.0.50'), parseIp('10.98.0.1'));
  assert.deepEqual(
    packet.subarray(0, 28),
    hex('4500001f 00000000 4011 65d8 0a620032 0a620001 0044 0043 000b 16f6'),
  );
  assert.equal(decodeDatagram(packet)?.toString(), 'odd');
  assert.equal(
    decodeDatagram(Buffer.concat([packet, Buffer.alloc(20)]))?.toString(),
    'odd',
    'padding of short frames',
  );
  assert.equal(decodeDatagram(packet.subarray(0, 30)), undefined);
});

const grant = (...pairs: [number, string][]) => ({ ip: parseIp('10.98.0.50'), options: options(...pairs) });
const plain = { request: [] as number[], priority: 0 };

test('a lease as a result', () => {
  const base: [number, string][] = [
    [OPTION.subnetMask, 'ffffff00'],
    [OPTION.router, '0a620001 0a620002'],
  ];
  assert.deepEqual(leaseResult(grant(...base), { ...plain, priority: 50 }), {
    ips: [{ address: '10.98.0.50/24', gateway: '10.98.0.1' }],
    routes: [{ dst: '0.0.0.0/0', gw: '10.98.0.1', priority: 50 }],
  });
  assert.deepEqual(
    leaseResult(grant(...base, [OPTION.staticRoutes, '0a000000 0a620007 c0a80500 0a620008']), plain).routes,
    [
      { dst: '10.0.0.0/8', gw: '10.98.0.7' },
      { dst: '192.168.5.0/24', gw: '10.98.0.8' },
      { dst: '0.0.0.0/0', gw: '10.98.0.1' },
    ],
  );
  const classless: [number, string] = [OPTION.classlessRoutes, '10 0a05 00000000 00 0a620009'];
  assert.deepEqual(leaseResult(grant(...base, classless), plain).routes, [
    { dst: '10.5.0.0/16', gw: '0.0.0.0', scope: 253 },
    { dst: '0.0.0.0/0', gw: '10.98.0.9' },
  ]);
  for (const damaged of ['21 0a0500000000000000', '10 0a05 0000']) {
    const { routes } = leaseResult(grant(...base, [OPTION.classlessRoutes, damaged]), plain);
    assert.deepEqual(routes, [{ dst: '0.0.0.0/0', gw: '10.98.0.1' }]);
  }
  assert.throws(() => leaseResult(grant(), plain), /DHCP option Subnet Mask not found in DHCPACK/);
  const named = grant(...base, [OPTION.dns, '0a620005'], [OPTION.domain, '612e74657374']);
  assert.equal(leaseResult(named, plain).dns, undefined);
  assert.deepEqual(leaseResult(named, { ...plain, request: [6] }).dns, {
    nameservers: ['10.98.0.5'],
    domain: 'a.test',
  });
});

test('times of a lease', () => {
  const times = (...pairs: [number, string][]) => leaseTimes({ options: options(...pairs) }, 0);
  assert.deepEqual(times([OPTION.leaseTime, '00000064']), {
    renewAt: 50_000,
    rebindAt: 85_000,
    expiresAt: 100_000,
  });
  assert.deepEqual(times(), { renewAt: 1_800_000, rebindAt: 3_060_000, expiresAt: 3_600_000 });
  assert.deepEqual(times([OPTION.leaseTime, 'ffffffff']), {
    renewAt: Infinity,
    rebindAt: Infinity,
    expiresAt: Infinity,
  });
  assert.deepEqual(
    times(
      [OPTION.leaseTime, '0000000a'],
      [OPTION.renewalTime, '00000064'],
      [OPTION.rebindingTime, '000000c8'],
    ),
    { renewAt: 10_000, rebindAt: 10_000, expiresAt: 10_000 },
  );
  assert.equal(describeExpiry({ expiresAt: Infinity }), 'never');
  assert.equal(describeExpiry({ expiresAt: 0 }), '1970-01-01T00:00:00.000Z');
});

test('configuration', () => {
  const read = (ipam: object, args = '') =>
    readConfig({
      config: { cniVersion: '1.0.0', name: 'n', type: 'bridge', ipam: { type: 'dhcp', ...ipam } } as NetConf,
      args,
    });
  assert.deepEqual(read({}), {
    network: 'n',
    socketPath: '/run/cni/dhcp.sock',
    provide: [],
    request: [3, 1],
    priority: 0,
  });
  const provide = [
    { option: 'host-name', value: 'a', fromArg: 'NAME' },
    { option: '60' },
    { option: '61', value: 'id' },
  ];
  assert.deepEqual(read({ provide, request: [{ option: '42' }, { option: 'routers' }] }, 'X;NAME=b=c'), {
    ...read({}),
    provide: [
      { code: 12, value: Buffer.from('b=c') },
      { code: 61, value: Buffer.from('id') },
    ],
    request: [42, 3, 1],
  });
  assert.deepEqual(read({ request: [{ skipDefault: true }] }).request, []);
  for (const option of ['256', '-1', '1.5', '', 'constructor']) {
    assert.throws(() => read({ provide: [{ option, value: 'x' }] }), /Can not parse option/);
  }
  assert.equal(clientIdOf({ containerID: 'c'.repeat(300), network: 'n', ifName: 'eth0' }).length, 254);
});

test('durations as Go writes them', () => {
  assert.deepEqual(['10s', '1m30s', '500ms', '1.5h'].map(parseDuration), [10_000, 90_000, 500, 5_400_000]);
  for (const text of ['', '10', 's', '10s5', '-1s'])
    assert.throws(() => parseDuration(text), /is no duration/);
});
