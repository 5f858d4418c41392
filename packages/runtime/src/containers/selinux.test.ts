import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { SELinuxOption } from '../gen/api.ts';
import { isSelinuxEnabled, newSelinuxLevel, type Selinux, selinuxLabels } from './selinux.ts';

const on: Selinux = {
  isEnabled: () => true,
  contexts: () => ({
    process: 'system_u:system_r:container_t:s0',
    file: 'system_u:object_r:container_file_t:s0',
  }),
};
const pod = { podLevel: 's0:c1,c2', privileged: false };
const options = (given: Parameters<typeof SELinuxOption.fromPartial>[0]) => SELinuxOption.fromPartial(given);

describe('selinuxLabels', () => {
  it('are the policy’s with the pod’s level', () => {
    assert.deepEqual(selinuxLabels(undefined, pod, on), {
      process: 'system_u:system_r:container_t:s0:c1,c2',
      mount: 'system_u:object_r:container_file_t:s0:c1,c2',
    });
  });
  it('are spc_t for a privileged container', () => {
    const labels = selinuxLabels(undefined, { ...pod, privileged: true }, on);
    assert.equal(labels?.process, 'system_u:system_r:spc_t:s0:c1,c2');
  });
  it('take what the options say; of files only user and level', () => {
    const all = options({ user: 'user_u', role: 'user_r', type: 'svirt_t', level: 's0:c3' });
    assert.deepEqual(selinuxLabels(all, pod, on), {
      process: 'user_u:user_r:svirt_t:s0:c3',
      mount: 'user_u:object_r:container_file_t:s0:c3',
    });
  });
  for (const level of ['s0,c4,c5', 'c1', 's0:c1:c2', 's0:c1,', 'S0', 's0:c1.c2,c4']) {
    const isValid = level === 's0:c1.c2,c4';
    it(`${isValid ? 'take' : 'refuse'} level ${level}`, () => {
      const label = () => selinuxLabels(options({ level }), pod, on);
      if (isValid) assert.equal(label()?.process, `system_u:system_r:container_t:${level}`);
      else assert.throws(label, /selinux_options\.level ".*": malformed/);
    });
  }
  it('refuse a type with a colon', () => {
    assert.throws(() => selinuxLabels(options({ type: 'a:b' }), pod, on), /selinux_options\.type "a:b"/);
  });
  it('are none where SELinux is off', () => {
    assert.equal(
      selinuxLabels(options({ level: 'nonsense' }), pod, { ...on, isEnabled: () => false }),
      undefined,
    );
  });
});

describe('newSelinuxLevel', () => {
  it('has two different categories in order, and is nobody else’s', () => {
    const numbers = [5, 5, 9, 3, 7, 4];
    const level = newSelinuxLevel(new Set(['s0:c3,c9']), () => numbers.shift()!);
    assert.equal(level, 's0:c4,c7');
  });
});

describe('isSelinuxEnabled', () => {
  const dir = mkdtempSync(join(tmpdir(), 'selinux-'));
  after(() => rmSync(dir, { recursive: true }));
  const [enforce, current] = [`${dir}/enforce`, `${dir}/current`];
  it('is false without the file system, and without a policy', () => {
    writeFileSync(current, 'kernel\0');
    assert.equal(isSelinuxEnabled({ enforce, current }), false);
    writeFileSync(enforce, '0');
    assert.equal(isSelinuxEnabled({ enforce, current }), false);
  });
  it('is true where processes have labels', () => {
    writeFileSync(enforce, '0');
    writeFileSync(current, 'system_u:system_r:init_t:s0\0');
    assert.equal(isSelinuxEnabled({ enforce, current }), true);
  });
});
