import assert from 'node:assert/strict';
import {
  chmodSync,
  closeSync,
  fchmodSync,
  fchownSync,
  fstatSync,
  mkdtempSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { after, before, describe, test } from 'node:test';
import { mountInfo, NullDevices, spawnProcess } from '@amphipod/linux';

describe('null devices of one’s own', () => {
  let dir: string;
  before(() => {
    dir = mkdtempSync(`${tmpdir()}/null-`);
    chmodSync(dir, 0o777);
  });
  after(() => rmSync(dir, { recursive: true }));

  test('are what /dev/null is, whatever the umask', () => {
    const umask = process.umask(0o077);
    try {
      using devices = new NullDevices();
      const fd = devices.open();
      const [own, node] = [fstatSync(fd), statSync('/dev/null')];
      assert.deepEqual([own.rdev, own.mode], [node.rdev, node.mode]);
      assert.equal(writeSync(fd, 'text'), 4);
      assert.equal(readSync(fd, Buffer.alloc(4)), 0);
      closeSync(fd);
    } finally {
      process.umask(umask);
    }
  });

  test('have an owner and a mode of their own each, and are mounted nowhere', () => {
    const mounts = mountInfo().length;
    using devices = new NullDevices();
    const [one, other] = [devices.open(), devices.open()];
    const node = statSync('/dev/null');
    fchownSync(one, 1000, 1001);
    fchmodSync(one, 0);
    const look = ({ uid, gid, mode }: typeof node) => [uid, gid, mode & 0o777];
    assert.deepEqual(look(fstatSync(one)), [1000, 1001, 0]);
    assert.deepEqual(look(fstatSync(other)), [0, 0, 0o666]);
    assert.deepEqual(look(statSync('/dev/null')), look(node));
    assert.equal(mountInfo().length, mounts);
    for (const fd of [one, other]) closeSync(fd);
  });

  test('outlive the rest as a program’s standard input, which any user may open by name', async () => {
    const devices = new NullDevices();
    const [input, output] = [devices.open(), devices.open()];
    devices[Symbol.dispose]();
    writeFileSync(`${dir}/result`, '');
    chmodSync(`${dir}/result`, 0o666);
    const script = `cat /dev/stdin; echo text >/dev/stdout; echo "$? $(id -u)" >${dir}/result`;
    const args = ['--reuid', '1000', '--regid', '1000', '--clear-groups', 'sh', '-c', script];
    const env = { PATH: process.env.PATH ?? '' };
    const child = spawnProcess('/usr/bin/setpriv', args, { env, fds: [input, output, output] });
    for (const fd of [input, output]) closeSync(fd);
    assert.equal(await child.exited, 0);
    assert.equal(readFileSync(`${dir}/result`, 'latin1'), '0 1000\n');
  });
});
