import assert from 'node:assert/strict';
import { test } from 'node:test';
import { attributes } from '../fake-kernel.ts';
import { IFF, IFLA } from './constants.ts';
import { parseLinkCounters } from './link-counters.ts';

function message(stats: Buffer, flags = 0): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt32LE(flags, 8);
  const name = attributes((w) => w.string(IFLA.IFNAME, 'eth0'));
  const statsHeader = Buffer.alloc(4);
  statsHeader.writeUInt16LE(4 + stats.length, 0);
  statsHeader.writeUInt16LE(IFLA.STATS64, 2);
  return Buffer.concat([header, name, statsHeader, stats]);
}

test('counters are read in the order of struct rtnl_link_stats64', () => {
  const stats = Buffer.alloc(200);
  for (let i = 0; i < 25; i++) stats.writeBigUInt64LE(BigInt(i + 1) << 32n, i * 8);
  const counters = parseLinkCounters(message(stats, IFF.LOOPBACK));
  const n = (i: bigint) => i << 32n;
  assert.deepEqual(counters, {
    name: 'eth0',
    loopback: true,
    ...{ rxPackets: n(1n), txPackets: n(2n), rxBytes: n(3n), txBytes: n(4n) },
    ...{ rxErrors: n(5n), txErrors: n(6n), rxDropped: n(7n), txDropped: n(8n) },
  });
});

test('counters that are too short are refused', () => {
  assert.throws(() => parseLinkCounters(message(Buffer.alloc(16))), /link counters of 16 bytes/);
  assert.throws(() => parseLinkCounters(Buffer.alloc(8)), /link message of 8 bytes/);
});
