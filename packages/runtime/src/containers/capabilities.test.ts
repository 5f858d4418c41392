import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LinuxContainerSecurityContext } from '../gen/api.ts';
import { containerCapabilities, ownCapabilities } from './capabilities.ts';

const usual =
  'CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE';
const own = [...usual.split(' '), 'NET_ADMIN', 'SYS_ADMIN'];
const bounding = (fields: Parameters<typeof LinuxContainerSecurityContext.fromPartial>[0]) =>
  containerCapabilities(LinuxContainerSecurityContext.fromPartial(fields), own).bounding;

describe('containerCapabilities', () => {
  it('has the usual 14 by default', () => assert.equal(bounding({}).length, 14));
  it('adds and drops, with or without CAP_', () => {
    const caps = bounding({
      capabilities: { addCapabilities: ['NET_ADMIN'], dropCapabilities: ['CAP_NET_RAW'] },
    });
    assert.ok(caps.includes('CAP_NET_ADMIN'));
    assert.ok(!caps.includes('CAP_NET_RAW'));
  });
  it('takes ALL as what the daemon has', () => {
    assert.deepEqual(
      bounding({ capabilities: { addCapabilities: ['ALL'] } }),
      own.map((name) => `CAP_${name}`),
    );
    assert.deepEqual(bounding({ capabilities: { dropCapabilities: ['ALL'] } }), []);
    assert.deepEqual(bounding({ capabilities: { dropCapabilities: ['ALL'], addCapabilities: ['CHOWN'] } }), [
      'CAP_CHOWN',
    ]);
    assert.deepEqual(
      bounding({ privileged: true }),
      own.map((name) => `CAP_${name}`),
    );
  });
  it('puts ambient ones into every set', () => {
    const caps = containerCapabilities(
      LinuxContainerSecurityContext.fromPartial({ capabilities: { addAmbientCapabilities: ['NET_ADMIN'] } }),
      own,
    );
    assert.deepEqual(caps.ambient, ['CAP_NET_ADMIN']);
    assert.ok(caps.bounding.includes('CAP_NET_ADMIN'));
  });
  it('gives only what the daemon has, and says so of what is asked for', () => {
    const few = ['CHOWN', 'KILL'];
    const of = (fields: Parameters<typeof LinuxContainerSecurityContext.fromPartial>[0]) =>
      containerCapabilities(LinuxContainerSecurityContext.fromPartial(fields), few).bounding;
    assert.deepEqual(of({}), ['CAP_CHOWN', 'CAP_KILL']);
    for (const field of ['addCapabilities', 'addAmbientCapabilities']) {
      const asked = () => of({ capabilities: { [field]: ['SYS_TIME'] } });
      assert.throws(asked, /capability "SYS_TIME": the daemon does not have it/);
    }
  });
  it('refuses unknown names', () => {
    assert.throws(
      () => bounding({ capabilities: { addCapabilities: ['FLY'] } }),
      /capability "FLY": unknown/,
    );
  });
});

describe('ownCapabilities', () => {
  it('reads the bits of CapEff', () => {
    assert.deepEqual(ownCapabilities('CapPrm:\t0\nCapEff:\t0000000000000005\n'), [
      'CHOWN',
      'DAC_READ_SEARCH',
    ]);
  });
});
