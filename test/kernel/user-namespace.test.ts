import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { after, before, describe, test } from 'node:test';
import {
  createPinnedUserNamespace,
  inNamespaces,
  mount,
  mountIdMapped,
  namespaceId,
  realPathBeneath,
  realPathInRoot,
  setHostname,
  sysctlGet,
  sysctlSet,
  unmount,
  unpinNamespace,
} from '@amphipod/linux';

const uids = [{ containerId: 0, hostId: 300_000, length: 1000 }];
const gids = [{ containerId: 0, hostId: 400_000, length: 1000 }];

let dir: string;
before(() => {
  dir = mkdtempSync('/var/tmp/amphipod-userns-');
  chmodSync(dir, 0o755);
});
after(() => rmSync(dir, { recursive: true }));

describe('a pinned user namespace', () => {
  const pins = () => ({ user: `${dir}/user`, net: `${dir}/net`, ipc: `${dir}/ipc`, uts: `${dir}/uts` });
  const unpinAll = () => {
    for (const pin of Object.values(pins())) unpinNamespace(pin);
  };

  test('owns the others, which this process can set up and leave again', async () => {
    const own = ['net', 'ipc', 'uts'].map((kind) => namespaceId(`/proc/thread-self/ns/${kind}`));
    await createPinnedUserNamespace(pins(), { uids, gids });
    const { user: _, ...others } = pins();
    inNamespaces(others, () => {
      setHostname('inside');
      sysctlSet('net.ipv4.ip_forward', '1');
      assert.equal(hostname(), 'inside');
    });
    assert.equal(
      inNamespaces({ net: pins().net }, () => sysctlGet('net.ipv4.ip_forward')),
      '1',
    );
    assert.notEqual(hostname(), 'inside');
    assert.throws(
      () =>
        inNamespaces(others, () => {
          throw new Error('in the middle');
        }),
      /in the middle/,
    );
    const now = ['net', 'ipc', 'uts'].map((kind) => namespaceId(`/proc/thread-self/ns/${kind}`));
    assert.deepEqual(now, own);
    unpinAll();
    assert.deepEqual(readdirSync(dir), []);
  });

  test('leaves nothing when a pin or a map cannot be', async () => {
    writeFileSync(pins().uts, 'taken');
    await assert.rejects(createPinnedUserNamespace(pins(), { uids, gids }), { code: 'EEXIST' });
    assert.deepEqual(readdirSync(dir), ['uts']);
    rmSync(pins().uts);
    const bad = [{ containerId: 0, hostId: 1, length: 0 }];
    await assert.rejects(createPinnedUserNamespace(pins(), { uids: bad, gids }), { code: 'EINVAL' });
    assert.deepEqual(readdirSync(dir), []);
  });

  test('shows files with its ids; unmounting the view leaves what is mounted below the source', async () => {
    await createPinnedUserNamespace({ user: pins().user }, { uids, gids });
    const [source, target] = [`${dir}/source`, `${dir}/target`];
    for (const path of [source, target]) mkdirSync(path);
    mkdirSync(`${source}/inner`);
    mount(`${source}/inner`, { source: 'inner', type: 'tmpfs' });
    writeFileSync(`${source}/inner/file`, 'content');
    chownSync(`${source}/inner/file`, 5, 6);
    mountIdMapped(source, target, { userNs: pins().user, recursive: true });
    const { uid, gid } = statSync(`${target}/inner/file`);
    assert.deepEqual([uid, gid], [300_005, 400_006]);
    assert.equal(statSync(`${source}/inner/file`).uid, 5);
    unmount(target);
    assert.equal(readFileSync(`${source}/inner/file`, 'utf8'), 'content');
    assert.equal(existsSync(`${target}/inner`), false);
    unmount(`${source}/inner`);
    unpinNamespace(pins().user);
    for (const path of [source, target]) rmSync(path, { recursive: true });
  });
});

describe('real paths below a root', () => {
  before(() => {
    mkdirSync(`${dir}/root/a/b`, { recursive: true });
    writeFileSync(`${dir}/root/a/b/file`, '');
    symlinkSync('a', `${dir}/root/link`);
    symlinkSync('/a', `${dir}/root/absolute`);
    symlinkSync('../../etc', `${dir}/root/up`);
    symlinkSync('loop', `${dir}/root/loop`);
  });
  after(() => rmSync(`${dir}/root`, { recursive: true }));
  const root = () => `${dir}/root`;

  test('beneath: links inside are followed, everything that leads out is EXDEV', () => {
    for (const path of ['a/b', 'link/b', 'a/../link/b', './a/b/'])
      assert.equal(realPathBeneath(root(), path), `${dir}/root/a/b`, path);
    assert.equal(realPathBeneath(root(), 'link/b/file'), `${dir}/root/a/b/file`);
    for (const path of ['absolute', 'up', '/a', '..', 'a/../../root/a'])
      assert.throws(() => realPathBeneath(root(), path), { code: 'EXDEV' }, path);
    assert.throws(() => realPathBeneath(root(), 'none'), { code: 'ENOENT' });
    assert.throws(() => realPathBeneath(root(), 'loop'), { code: 'ELOOP' });
  });

  test('in the root: it is the root', () => {
    for (const path of ['/a/b', '/absolute/b', '/../../a/b', 'link/b'])
      assert.equal(realPathInRoot(root(), path), `${dir}/root/a/b`, path);
    assert.throws(() => realPathInRoot(root(), '/up'), { code: 'ENOENT' });
  });
});
