import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LinuxContainerSecurityContext, SecurityProfile_ProfileType } from '../gen/api.ts';
import { containerApparmorProfile } from './apparmor.ts';

type Given = Parameters<typeof LinuxContainerSecurityContext.fromPartial>[0];
const profile = (given: Given, enabled = true) =>
  containerApparmorProfile(LinuxContainerSecurityContext.fromPartial(given), () => enabled);
const localhost = (localhostRef: string) => ({
  profileType: SecurityProfile_ProfileType.Localhost,
  localhostRef,
});

describe('containerApparmorProfile', () => {
  it('takes the name with and without prefix, from the new field before the old one', () => {
    assert.equal(profile({ apparmor: localhost('web') }), 'web');
    assert.equal(profile({ apparmor: localhost('localhost/web'), apparmorProfile: 'localhost/old' }), 'web');
    assert.equal(profile({ apparmorProfile: 'localhost/old' }), 'old');
  });
  it('is none for unconfined, RuntimeDefault, privileged and unset', () => {
    assert.equal(profile({ apparmor: { profileType: SecurityProfile_ProfileType.Unconfined } }), undefined);
    assert.equal(profile({ apparmorProfile: 'runtime/default' }), undefined);
    assert.equal(profile({ apparmor: localhost('web'), privileged: true }), undefined);
    assert.equal(containerApparmorProfile(undefined), undefined);
  });
  it('does not go unheeded where there is no AppArmor', () => {
    assert.throws(
      () => profile({ apparmor: localhost('web') }, false),
      /apparmor profile "web": AppArmor is not enabled/,
    );
    assert.equal(
      profile({ apparmor: { profileType: SecurityProfile_ProfileType.RuntimeDefault } }, false),
      undefined,
    );
  });
});
