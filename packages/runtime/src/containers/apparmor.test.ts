import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LinuxContainerSecurityContext, SecurityProfile_ProfileType } from '../gen/api.ts';
import { type Apparmor, containerApparmorProfile } from './apparmor.ts';

type Given = Parameters<typeof LinuxContainerSecurityContext.fromPartial>[0];
const machine = (changes: Partial<Apparmor> = {}): Apparmor => ({
  isEnabled: () => true,
  loaded: () => new Set(['web', 'old', 'amphipod-default']),
  loadDefault: () => assert.fail('is loaded'),
  ...changes,
});
const off = machine({ isEnabled: () => false });
const profile = (given: Given, apparmor = machine()) =>
  containerApparmorProfile(LinuxContainerSecurityContext.fromPartial(given), apparmor);
const { Localhost, RuntimeDefault, Unconfined } = SecurityProfile_ProfileType;
const localhost = (localhostRef: string) => ({ profileType: Localhost, localhostRef });

describe('containerApparmorProfile', () => {
  it('takes the name with and without prefix, from the new field before the old one', async () => {
    assert.equal(await profile({ apparmor: localhost('web') }), 'web');
    const both = { apparmor: localhost('localhost/web'), apparmorProfile: 'localhost/old' };
    assert.equal(await profile(both), 'web');
    assert.equal(await profile({ apparmorProfile: 'localhost/old' }), 'old');
  });
  it('is ours for RuntimeDefault, in both forms, and where nothing is said', async () => {
    const given = [{ apparmor: { profileType: RuntimeDefault } }, { apparmorProfile: 'runtime/default' }, {}];
    for (const each of given) assert.equal(await profile(each), 'amphipod-default');
    assert.equal(await containerApparmorProfile(undefined, machine()), 'amphipod-default');
  });
  it('loads ours when it is not there', async () => {
    let loads = 0;
    const loadDefault = async () => ++loads > 0;
    const fresh = machine({ loaded: () => new Set<string>(), loadDefault });
    assert.equal(await profile({}, fresh), 'amphipod-default');
    assert.equal(loads, 1);
    const noParser = machine({ loaded: () => new Set<string>(), loadDefault: async () => false });
    assert.equal(await profile({}, noParser), undefined);
  });
  it('is none for unconfined and privileged', async () => {
    assert.equal(await profile({ apparmor: { profileType: Unconfined } }), undefined);
    assert.equal(await profile({ apparmorProfile: 'unconfined' }), undefined);
    assert.equal(await profile({ apparmor: localhost('web'), privileged: true }), undefined);
  });
  it('refuses a profile that is not loaded, and a form that is none', async () => {
    await assert.rejects(profile({ apparmor: localhost('gone') }), /apparmor profile "gone": is not loaded/);
    await assert.rejects(profile({ apparmorProfile: 'web' }), /apparmor_profile "web": unknown form/);
  });
  it('does not go unheeded where there is no AppArmor', async () => {
    await assert.rejects(profile({ apparmor: localhost('web') }, off), /AppArmor is not enabled/);
    assert.equal(await profile({ apparmor: { profileType: RuntimeDefault } }, off), undefined);
    assert.equal(await profile({}, off), undefined);
  });
});
