import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NetConf } from '@amphipod/cni';
import type { VfInfo } from '@amphipod/netlink';
import { readConfig, requireDeviceId } from './config.ts';
import { differences, wantedSettings } from './settings.ts';

const read = (keys: object, args = '') =>
  readConfig({ config: { type: 'sriov', name: 'n', cniVersion: '1.1.0', ...keys } as NetConf, args });

test('what is not said is as a driver starts', () => {
  assert.deepEqual(read({ deviceID: '0000:01:10.0' }), {
    deviceId: '0000:01:10.0',
    vlan: { id: 0, qos: 0, protocol: '802.1Q' },
    mac: undefined,
    spoofCheck: undefined,
    trust: false,
    linkState: 'auto',
    rate: { min: 0, max: 0 },
    logLevel: 'info',
    logFile: undefined,
    ipamType: undefined,
  });
});

test('every key', () => {
  const config = read(
    {
      deviceID: '0000:AF:06.1',
      ...{
        vlan: 4094,
        vlanQoS: 7,
        vlanProto: '802.1AD',
        spoofchk: 'off',
        trust: 'on',
        link_state: 'disable',
      },
      ...{ min_tx_rate: 10, max_tx_rate: 100, mac: 'CA:FE:C0:FF:EE:00', logLevel: 'debug', logFile: '/l' },
    },
    'IgnoreUnknown=1;MAC=ca:fe:c0:ff:ee:01',
  );
  assert.equal(config.deviceId, '0000:af:06.1');
  assert.deepEqual(config.vlan, { id: 4094, qos: 7, protocol: '802.1ad' });
  assert.deepEqual([config.spoofCheck, config.trust, config.linkState], [false, true, 'disable']);
  assert.deepEqual(config.rate, { min: 10, max: 100 });
  assert.equal(config.mac, 'ca:fe:c0:ff:ee:01');
  assert.deepEqual([config.logLevel, config.logFile], ['debug', '/l']);
  const given = { deviceID: '0000:01:10.2', mac: 'ca:fe:c0:ff:ee:02' };
  const late = read({ deviceID: '0000:01:10.0', mac: 'ca:fe:c0:ff:ee:00', runtimeConfig: given });
  assert.deepEqual([late.deviceId, late.mac], [given.deviceID, given.mac]);
});

test('wrong values are refused with key and value', () => {
  const cases: [object, RegExp][] = [
    [{ deviceID: '01:10.0' }, /key "deviceID": got "01:10\.0", want a PCI address/],
    [{ deviceID: '../0000:01:10.0' }, /key "deviceID"/],
    [{ vlan: 4095 }, /key "vlan": got 4095, want an integer from 0 to 4094/],
    [{ vlan: -1 }, /key "vlan"/],
    [{ vlan: '5' }, /key "vlan"/],
    [{ vlan: 5, vlanQoS: 8 }, /key "vlanQoS": got 8, want an integer from 0 to 7/],
    [{ vlanQoS: 1 }, /non-zero vlanQoS 1 requires a non-zero vlan/],
    [{ vlan: 0, vlanProto: '802.1ad' }, /vlanProto "802\.1ad" requires a non-zero vlan/],
    [{ vlan: 5, vlanProto: '802.1x' }, /key "vlanProto": got "802\.1x"/],
    [{ spoofchk: 'yes' }, /invalid spoofchk value: yes; want on, off/],
    [{ trust: true }, /key "trust": got true, want a string/],
    [{ link_state: 'up' }, /LoadConf\(\): invalid link_state value: up; want auto, enable, disable/],
    [{ min_tx_rate: 5, max_tx_rate: 4 }, /min_tx_rate 5 is more than max_tx_rate 4/],
    [{ max_tx_rate: 2 ** 32 }, /key "max_tx_rate"/],
    [{ mac: 'ca:fe' }, /not a hardware address/],
    [{ logLevel: 'loud' }, /invalid logLevel value: loud/],
  ];
  for (const [keys, message] of cases) {
    assert.throws(() => read(keys), { message, number: 7 }, JSON.stringify(keys));
  }
  assert.throws(() => requireDeviceId(read({})), { message: 'LoadConf(): VF pci addr is required' });
});

test('only what differs is set; what a driver does not tell counts as off', () => {
  const now: VfInfo = {
    ...{ index: 0, mac: '02:00:00:00:00:01', linkState: 'auto', rate: { min: 0, max: 0 } },
    vlan: { id: 0, qos: 0, protocol: '802.1Q' },
  };
  const diff = (keys: object) => differences(wantedSettings(read(keys)), now);
  assert.deepEqual(diff({}), {});
  assert.deepEqual(diff({ link_state: 'auto', trust: 'off', spoofchk: 'off', mac: now.mac }), {});
  assert.deepEqual(diff({ trust: 'on', spoofchk: 'on' }), { spoofCheck: true, trust: true });
  const leftOver: VfInfo = { ...now, vlan: { id: 1000, qos: 0, protocol: '802.1Q' }, trust: true };
  assert.deepEqual(differences(wantedSettings(read({})), leftOver), {
    vlan: { id: 0, qos: 0, protocol: '802.1Q' },
    trust: false,
  });
  // The protocol of no VLAN is nobody's concern.
  assert.deepEqual(
    differences(wantedSettings(read({})), { ...now, vlan: { id: 0, qos: 0, protocol: '802.1ad' } }),
    {},
  );
});
