import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { namespaceId } from '@amphipod/linux';
import {
  bootId,
  type DeviceRecord,
  foreignNetns,
  isAlive,
  listRecords,
  lockFile,
  makeStateDirs,
  readRecord,
  removeRecord,
  writeRecord,
} from './records.ts';

const address = '0000:01:10.0';

function setUp() {
  const stateDir = mkdtempSync(join(tmpdir(), 'sriov-'));
  const netns = '/proc/self/ns/net';
  const places = { sysfs: '/sys', stateDir };
  makeStateDirs(places);
  const record: DeviceRecord = {
    address,
    owner: { network: 'fast', containerID: 'c', ifName: 'net1' },
    ...{ netns, netnsId: namespaceId(netns), bootId: bootId() },
    wanted: { trust: true },
    vf: {
      ...{ mac: '00:00:00:00:00:00', rate: { min: 0, max: 0 }, linkState: 'auto' },
      vlan: { id: 0, qos: 0, protocol: '802.1Q' },
    },
  };
  return {
    places,
    record,
    file: join(stateDir, 'devices', `${address}.json`),
    [Symbol.dispose]: () => rmSync(stateDir, { recursive: true }),
  };
}

test('a record comes back as it was written, and leaves nothing', () => {
  using given = setUp();
  const { places, record } = given;
  assert.deepEqual(listRecords(places), []);
  assert.deepEqual(listRecords({ ...places, stateDir: '/nonexistent' }), []);
  writeRecord(places, record);
  assert.deepEqual(readRecord(places, address), record);
  assert.deepEqual(listRecords(places), [record]);
  assert.equal(readFileSync(join(places.stateDir, 'pci', address), 'utf8'), record.netns);
  assert.match(lockFile(places, address), /pci\/vf_lock\/0000:01:10\.0\.lock$/);
  removeRecord(places, address);
  removeRecord(places, address);
  assert.deepEqual(readdirSync(join(places.stateDir, 'devices')), []);
  assert.equal(foreignNetns(places, address), undefined);
});

test('a damaged record, and one of an earlier boot, are none', () => {
  using given = setUp();
  const { places, record, file } = given;
  writeRecord(places, { ...record, bootId: 'before' });
  assert.equal(readRecord(places, address), undefined);
  for (const text of ['', '{"address":', '\0\0\0']) {
    writeFileSync(file, text);
    assert.equal(readRecord(places, address), undefined, JSON.stringify(text));
  }
  // What a process left that was killed while it wrote.
  writeFileSync(`${file}.tmp`, '{');
  assert.deepEqual(listRecords(places), []);
});

test('a pod is there while its path leads to the namespace that was noted', () => {
  using given = setUp();
  const { places, record } = given;
  assert.equal(isAlive(record), true);
  assert.equal(isAlive({ ...record, netnsId: '4:1' }), false, 'another namespace');
  assert.equal(isAlive({ ...record, netns: '/nonexistent/file' }), false);
  assert.equal(isAlive({ ...record, netns: '/etc/hostname' }), false, 'a plain file');
  writeFileSync(join(places.stateDir, 'pci', address), '/proc/self/ns/net\n');
  assert.equal(foreignNetns(places, address), '/proc/self/ns/net');
  writeFileSync(join(places.stateDir, 'pci', address), '/nonexistent/file');
  assert.equal(foreignNetns(places, address), undefined);
});
