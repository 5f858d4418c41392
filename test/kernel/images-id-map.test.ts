import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, lstatSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { type TestContext, test } from 'node:test';
import { mount, mountInfo, unmount } from '@amphipod/linux';
import { idMappedDir } from '../../packages/images/src/store/mount-rootfs.ts';
import { listTree, loadBuilt, mountImage, openStore, scratch } from './images-support.ts';

const first = 200_000;

/** A user namespace that maps users and groups 0 to 65535 to those from `first` on, held by a process. */
async function userNamespace(t: TestContext): Promise<{ pid: number; file: string }> {
  const holder = spawn('unshare', ['--user', 'sh', '-c', 'echo made; exec sleep 60'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => holder.kill('SIGKILL'));
  await once(holder.stdout, 'data');
  for (const kind of ['uid', 'gid']) writeFileSync(`/proc/${holder.pid}/${kind}_map`, `0 ${first} 65536`);
  return { pid: holder.pid!, file: `/proc/${holder.pid}/ns/user` };
}

test('a root file system shows its files as the users of a user namespace', async (t) => {
  const { pid, file } = await userNamespace(t);
  const store = await openStore(t);
  const image = await loadBuilt(store, scratch(t), {
    layers: [
      [
        { path: '/', type: 'directory', mode: 0o711, uid: 3 },
        { path: 'root', data: 'r', mode: 0o600 },
        { path: 'app', data: 'a', uid: 1000, gid: 100, mode: 0o4755 },
        { path: 'gone', data: '1' },
        { path: 'beyond', data: 'b', uid: 70_000 },
        { path: 'link', type: 'symlink', linkPath: 'app', uid: 7 },
      ],
      [{ path: '.wh.gone' }, { path: 'root2', data: '2' }],
    ],
  });
  const root = mountImage(t, store, image.id, { idMap: { userNs: file } });
  assert.deepEqual(listTree(root, '%P %y %m %U:%G'), [
    `app f 4755 ${first + 1000}:${first + 100}`,
    'beyond f 644 65534:200000',
    `link l 777 ${first + 7}:${first}`,
    `root f 600 ${first}:${first}`,
    `root2 f 644 ${first}:${first}`,
  ]);
  assert.deepEqual([statSync(root).mode & 0o7777, statSync(root).uid], [0o711, first + 3]);
  chmodSync(dirname(root), 0o755);
  // Root of the namespace may change what is root's in the image, and what it makes belongs to it.
  const script = 'chmod 640 root && echo more >>root && chown 5:6 app && touch new && id -u';
  const ids = execFileSync(
    'nsenter',
    ['-t', `${pid}`, '--user', '-S', '0', '-G', '0', 'sh', '-ec', `cd ${root}; ${script}`],
    { encoding: 'utf8' },
  );
  assert.equal(ids, '0\n');
  assert.equal(readFileSync(`${root}/root`, 'utf8'), 'rmore\n');
  assert.deepEqual([lstatSync(`${root}/app`).uid, lstatSync(`${root}/app`).gid], [first + 5, first + 6]);
  assert.equal(lstatSync(`${root}/new`).uid, first);
  // The layers stay as they are, for others; and nothing of the store stays mounted.
  assert.equal(lstatSync(`${store.lowerDirs(image.id)[1]}/app`).uid, 1000);
  assert.equal(readFileSync(`${store.lowerDirs(image.id)[1]}/root`, 'utf8'), 'r');
  assert.ok(!mountInfo().some(({ mountPoint }) => mountPoint.startsWith(store.root)));
  const plain = mountImage(t, store, image.id);
  assert.equal(lstatSync(`${plain}/app`).uid, 1000);
});

test('many layers, and an image without any, are mounted for a user namespace', async (t) => {
  const { file } = await userNamespace(t);
  const store = await openStore(t);
  const layers = Array.from({ length: 120 }, (_, i) => [{ path: `f${i}`, data: '', uid: i }]);
  const many = await loadBuilt(store, scratch(t), { layers, compression: 'none' });
  const root = mountImage(t, store, many.id, { idMap: { userNs: file } });
  assert.deepEqual(
    [0, 119].map((i) => lstatSync(`${root}/f${i}`).uid),
    [first, first + 119],
  );
  const none = await loadBuilt(store, scratch(t), { layers: [] });
  assert.equal(statSync(mountImage(t, store, none.id, { idMap: { userNs: file } })).uid, first);
});

test('a mount for a user namespace that a killed process left is gone after the next opening', async (t) => {
  const { file } = await userNamespace(t);
  const store = await openStore(t);
  await loadBuilt(store, scratch(t), { layers: [[{ path: 'f', data: '1' }]], name: 'x/y:1' });
  await store.close();
  const mapped = idMappedDir(store.root);
  mkdirSync(mapped, { recursive: true });
  mount(mapped, { source: store.root, flags: 4096 });
  t.after(() => unmount(mapped));
  const again = await openStore(t, { root: store.root });
  assert.ok(!mountInfo().some(({ mountPoint }) => mountPoint === mapped));
  const root = mountImage(t, again, again.find('x/y:1')!.id, { idMap: { userNs: file } });
  assert.equal(lstatSync(`${root}/f`).uid, first);
});

test('a file system that cannot do it is named', async (t) => {
  const { file } = await userNamespace(t);
  const dir = scratch(t);
  mount(dir, { type: 'ramfs', source: 'ramfs' });
  using stack = new DisposableStack();
  stack.defer(() => unmount(dir));
  const store = await openStore(t, { root: `${dir}/store` });
  const image = await loadBuilt(store, scratch(t), { layers: [[{ path: 'f', data: '1' }]] });
  assert.throws(() => mountImage(t, store, image.id, { idMap: { userNs: file } }), {
    code: 'id-map-unsupported',
    message: /for a user namespace: mount_setattr .*EINVAL.*idmapped mounts of the file system of ".*store"/,
  });
  assert.ok(!mountInfo().some(({ mountPoint }) => mountPoint.startsWith(store.root)));
  await store.close();
});
