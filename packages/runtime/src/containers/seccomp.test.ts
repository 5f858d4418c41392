import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LinuxContainerSecurityContext, SecurityProfile_ProfileType } from '../gen/api.ts';
import { containerSeccomp, resolveProfile } from './seccomp.ts';

describe('resolveProfile', () => {
  const profile = {
    defaultAction: 'SCMP_ACT_ERRNO',
    archMap: [{ architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86', 'SCMP_ARCH_X32'] }],
    syscalls: [
      { names: ['read'], action: 'SCMP_ACT_ALLOW', args: [] },
      { names: ['mount'], action: 'SCMP_ACT_ALLOW', includes: { caps: ['CAP_SYS_ADMIN'] } },
      { names: ['clone'], action: 'SCMP_ACT_ALLOW', excludes: { caps: ['CAP_SYS_ADMIN'] } },
      { names: ['ptrace'], action: 'SCMP_ACT_ALLOW', includes: { minKernel: '4.8' } },
      { names: ['arm_only'], action: 'SCMP_ACT_ALLOW', includes: { arches: ['arm64'] } },
    ],
  };
  const names = (caps: string[], arch: string, kernel = '6.1.0') =>
    resolveProfile(profile, caps, { arch, x32: true, kernel }).syscalls!.flatMap((rule) => rule.names);
  it('keeps the rules whose conditions hold', () => {
    assert.deepEqual(names([], 'x64'), ['read', 'clone', 'ptrace']);
    assert.deepEqual(names([], 'x64', '4.7.99-x'), ['read', 'clone']);
    assert.deepEqual(names([], 'x64', '4.10.0'), ['read', 'clone', 'ptrace']);
    assert.deepEqual(names(['CAP_SYS_ADMIN'], 'arm64'), ['read', 'mount', 'ptrace', 'arm_only']);
  });
  it('lists the architectures of this machine', () => {
    const architectures = (x32: boolean) =>
      resolveProfile(profile, [], { arch: 'x64', x32, kernel: '6.1.0' }).architectures;
    assert.deepEqual(architectures(true), ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86', 'SCMP_ARCH_X32']);
    assert.deepEqual(architectures(false), ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86']);
  });
});

describe('containerSeccomp', () => {
  const options = { defaultProfile: '/nonexistent/default.json', capabilities: [] };
  const of = (fields: Parameters<typeof LinuxContainerSecurityContext.fromPartial>[0]) =>
    containerSeccomp(LinuxContainerSecurityContext.fromPartial(fields), options);
  it('is off for privileged, unconfined and unset', () => {
    assert.equal(of({}), undefined);
    assert.equal(of({ seccomp: { profileType: SecurityProfile_ProfileType.Unconfined } }), undefined);
    assert.equal(of({ privileged: true, seccomp: {} }), undefined);
    assert.equal(containerSeccomp(undefined, options), undefined);
  });
  it('takes an empty profile as RuntimeDefault and names the file that is missing', () => {
    assert.throws(() => of({ seccomp: {} }), /read seccomp profile "\/nonexistent\/default.json"/);
  });
  it('takes localhost paths of both forms', () => {
    assert.throws(() => of({ seccompProfilePath: 'localhost//x/y.json' }), /"\/x\/y.json"/);
    assert.throws(
      () =>
        of({
          seccomp: { profileType: SecurityProfile_ProfileType.Localhost, localhostRef: 'localhost//z.json' },
        }),
      /"\/z.json"/,
    );
  });
});
