import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { leafCgroup, ociCgroupsPath, ownPodCgroup, parentCgroup } from './cgroup-driver.ts';

describe('cgroup paths', () => {
  it('of the systemd driver: slices are nested by name, however they are given', () => {
    const path = '/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice';
    assert.equal(parentCgroup('systemd', path), path);
    assert.equal(parentCgroup('systemd', 'kubepods-burstable-pod1_2.slice'), path);
    assert.equal(parentCgroup('systemd', '/test.slice'), '/test.slice');
    assert.equal(parentCgroup('systemd', '-.slice'), '');
  });
  it('of the systemd driver: a leaf is a scope, which the OCI runtime gets in three parts', () => {
    const leaf = leafCgroup('systemd', '/a.slice/a-b.slice', 'c1-init');
    assert.equal(leaf, '/a.slice/a-b.slice/cri-amphipod-c1-init.scope');
    assert.equal(ociCgroupsPath('systemd', leaf), 'a-b.slice:cri-amphipod:c1-init');
    assert.equal(ociCgroupsPath('systemd', leafCgroup('systemd', '', 'c1')), '-.slice:cri-amphipod:c1');
    assert.equal(ownPodCgroup('systemd', 'p1'), '/amphipod.slice/amphipod-p1.slice');
  });
  it('of the cgroupfs driver are paths', () => {
    assert.equal(parentCgroup('cgroupfs', '/kubepods/pod1-2/'), '/kubepods/pod1-2');
    assert.equal(parentCgroup('cgroupfs', '/'), '');
    assert.equal(
      ociCgroupsPath('cgroupfs', leafCgroup('cgroupfs', '/kubepods/pod1', 'c1')),
      '/kubepods/pod1/c1',
    );
    assert.equal(ownPodCgroup('cgroupfs', 'p1'), '/amphipod/p1');
  });
  it('of the other driver, and broken ones, are refused', () => {
    assert.throws(
      () => parentCgroup('cgroupfs', '/test.slice'),
      /systemd driver; this runtime uses cgroupfs/,
    );
    assert.throws(() => parentCgroup('systemd', '/kubepods/pod1'), /is not a slice/);
    assert.throws(() => parentCgroup('systemd', 'a--b.slice'), /no name of a slice/);
    assert.throws(() => parentCgroup('systemd', '.slice'), /no name of a slice/);
    assert.throws(() => parentCgroup('cgroupfs', 'relative'), /must be absolute/);
    assert.throws(() => parentCgroup('cgroupfs', '/a/../b'), /must be absolute/);
  });
});
