import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { cgroupDir, cgroupDirs, detectCgroups } from './cgroups.ts';
import { mountInfo } from './mounts.ts';

const hybrid = `
25 20 0:22 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
26 25 0:23 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw
27 25 0:24 / /sys/fs/cgroup/systemd rw,nosuid shared:11 - cgroup cgroup rw,xattr,name=systemd
28 25 0:25 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:12 - cgroup cgroup rw,cpu,cpuacct
29 25 0:26 / /sys/fs/cgroup/memory rw,nosuid shared:13 - cgroup cgroup rw,memory
`;
const unified = '25 20 0:22 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n';

describe('detectCgroups', () => {
  it('takes controllers on version 1 for version 1, and names every hierarchy', () => {
    const layout = detectCgroups(mountInfo(hybrid));
    assert.equal(layout.version, 1);
    assert.deepEqual(cgroupDirs(layout, '/a/b').toSorted(), [
      '/sys/fs/cgroup/cpu,cpuacct/a/b',
      '/sys/fs/cgroup/memory/a/b',
      '/sys/fs/cgroup/systemd/a/b',
      '/sys/fs/cgroup/unified/a/b',
    ]);
    assert.equal(cgroupDir(layout, '/a/', 'cpuacct'), '/sys/fs/cgroup/cpu,cpuacct/a');
    assert.equal(cgroupDir(layout, '/a', 'pids'), undefined);
  });
  it('has one directory on version 2', () => {
    const layout = detectCgroups(mountInfo(unified));
    assert.equal(layout.version, 2);
    assert.deepEqual(cgroupDirs(layout, '/'), ['/sys/fs/cgroup']);
    assert.equal(cgroupDir(layout, '/a', 'memory'), '/sys/fs/cgroup/a');
  });
  it('says when there is none', () =>
    assert.throws(() => detectCgroups([]), /no cgroup file system is mounted/));
  it('refuses paths that could leave the hierarchy', () => {
    const layout = detectCgroups(mountInfo(unified));
    for (const path of ['a', '', '/a/../../etc']) assert.throws(() => cgroupDirs(layout, path), RangeError);
  });
});

describe('mountInfo', () => {
  it('reads optional fields and octal escapes', () => {
    const [mount] = mountInfo(
      '36 35 98:0 /a\\040b /mnt\\011x rw master:1 shared:2 - ext3 /dev/ro\\134ot rw,errors=continue\n',
    );
    assert.deepEqual(mount, {
      mountId: 36,
      parentId: 35,
      root: '/a b',
      mountPoint: '/mnt\tx',
      options: ['rw'],
      propagation: ['master:1', 'shared:2'],
      fsType: 'ext3',
      source: '/dev/ro\\ot',
      superOptions: ['rw', 'errors=continue'],
    });
  });
});
