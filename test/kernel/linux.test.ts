import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { stat } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { after, before, describe, test } from 'node:test';
import {
  cgroupCreate,
  cgroupDirs,
  cgroupKill,
  cgroupPids,
  cgroupRemove,
  createPinnedNamespaces,
  detectCgroups,
  inNetns,
  isNamespace,
  mount,
  mountInfo,
  namespaceId,
  setHostname,
  spawnProcess,
  sysctlGet,
  sysctlSet,
  threadNetnsIds,
  unmount,
  unpinNamespace,
} from '@amphipod/linux';

let dir: string;
before(async () => {
  dir = mkdtempSync(`${tmpdir()}/linux-`);
  // As the daemon does: libuv's threads are born before any hop.
  await Promise.all(Array.from({ length: 64 }, () => stat('/')));
});
after(() => rmSync(dir, { recursive: true }));

describe('pinned namespaces', () => {
  const pins = () => ({ net: `${dir}/net`, ipc: `${dir}/ipc`, uts: `${dir}/uts` });

  test('are made with what the set-up does inside, and are gone after unpinning', () => {
    const own = namespaceId('/proc/self/ns/net');
    createPinnedNamespaces(pins(), () => {
      setHostname('inside');
      sysctlSet('net.ipv4.ip_forward', '1');
    });
    for (const pin of Object.values(pins())) assert.ok(isNamespace(pin), pin);
    assert.notEqual(namespaceId(pins().net), own);
    assert.equal(
      inNetns(pins().net, () => sysctlGet('net.ipv4.ip_forward')),
      '1',
    );
    assert.notEqual(hostname(), 'inside');
    assert.equal(namespaceId('/proc/thread-self/ns/net'), own);
    for (const pin of Object.values(pins())) {
      unpinNamespace(pin);
      unpinNamespace(pin);
      assert.ok(!existsSync(pin));
    }
  });

  test('leave nothing when the set-up or a pin fails', () => {
    const own = namespaceId('/proc/self/ns/net');
    const fail = () => {
      throw new Error('inside');
    };
    assert.throws(() => createPinnedNamespaces(pins(), fail), /inside/);
    writeFileSync(pins().uts, 'taken');
    assert.throws(() => createPinnedNamespaces(pins()), { code: 'EEXIST' });
    assert.equal(readFileSync(pins().uts, 'utf8'), 'taken');
    rmSync(pins().uts);
    assert.deepEqual(readdirSync(dir), []);
    assert.equal(namespaceId('/proc/thread-self/ns/net'), own);
  });

  test('a failure inside a hop comes back out, and no thread stays behind', async () => {
    createPinnedNamespaces({ net: pins().net });
    assert.throws(
      () =>
        inNetns(pins().net, () => {
          throw new RangeError('in the hop');
        }),
      RangeError,
    );
    await Promise.all(Array.from({ length: 64 }, () => stat('/')));
    assert.equal(threadNetnsIds(() => readdirSync('/proc/self/task')).size, 1);
    unpinNamespace(pins().net);
  });

  test('a plain file in place of a pin is removed (CNI-18)', () => {
    writeFileSync(pins().net, '');
    assert.equal(isNamespace(pins().net), false);
    unpinNamespace(pins().net);
    assert.ok(!existsSync(pins().net));
  });
});

describe('mounts', () => {
  test('unmount takes every layer away and is content with none', () => {
    const target = `${dir}/mnt`;
    mkdirSync(target);
    for (let i = 0; i < 3; i++) mount(target, { type: 'tmpfs', source: 'test', data: 'size=1m' });
    assert.equal(mountInfo().filter(({ mountPoint }) => mountPoint === target).length, 3);
    unmount(target);
    unmount(target);
    unmount(`${dir}/nonexistent`);
    assert.equal(mountInfo().filter(({ mountPoint }) => mountPoint === target).length, 0);
    assert.throws(() => mount(`${dir}/nonexistent`, { type: 'tmpfs' }), { code: 'ENOENT', syscall: 'mount' });
    rmSync(target, { recursive: true });
  });
});

describe('control groups', () => {
  test('are made, hold processes, are killed and removed with what is below, in every hierarchy', async () => {
    const layout = detectCgroups();
    const path = `/amphipod-test-linux-${process.pid}`;
    cgroupCreate(layout, `${path}/child`);
    const { pid, exited } = spawnProcess('/bin/sleep', ['60'], { env: {}, fds: [] });
    for (const group of cgroupDirs(layout, `${path}/child`)) {
      // A cpuset takes nobody before it has processors and memory; the others do.
      if (!group.includes('cpuset')) writeFileSync(`${group}/cgroup.procs`, String(pid));
    }
    assert.deepEqual(cgroupPids(layout, path), [pid]);
    assert.equal(cgroupRemove(layout, path), false);
    cgroupKill(layout, path);
    assert.equal(await exited, 137);
    while (!cgroupRemove(layout, path)) await new Promise((resolve) => setTimeout(resolve, 2));
    assert.deepEqual(cgroupDirs(layout, path).filter(existsSync), []);
    assert.ok(cgroupRemove(layout, path));
  });
});
