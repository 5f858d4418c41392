/** Configurations of the plugins that give a pod one link. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NetConf } from '@amphipod/cni';
import * as ipvlan from '../ipvlan/config.ts';
import * as macvlan from '../macvlan/config.ts';
import * as tap from '../tap/config.ts';
import * as vlan from '../vlan/config.ts';

const request = (keys: object, args = '') => ({
  config: { cniVersion: '1.1.0', name: 'n', type: 't', ...keys } as NetConf,
  args,
});
const ipam = { type: 'host-local' };

test('macvlan: defaults, and every key', () => {
  assert.deepEqual(macvlan.readConfig(request({})), {
    master: undefined,
    linkInContainer: false,
    mtu: 0,
    mode: 'bridge',
    mac: undefined,
    bcQueueLength: undefined,
    ipamType: undefined,
  });
  const keys = {
    master: 'eth0',
    linkInContainer: true,
    mtu: 1400,
    mode: 'vepa',
    mac: 'C2:00:00:00:00:01',
    bcqueuelen: 500,
    ipam,
  };
  assert.deepEqual(macvlan.readConfig(request(keys)), {
    master: 'eth0',
    linkInContainer: true,
    mtu: 1400,
    mode: 'vepa',
    mac: 'c2:00:00:00:00:01',
    bcQueueLength: 500,
    ipamType: 'host-local',
  });
});

test('the last source of a hardware address wins', () => {
  const [key, args, runtime] = ['c2:00:00:00:00:01', 'c2:00:00:00:00:02', 'c2:00:00:00:00:03'];
  for (const { readConfig } of [macvlan, tap]) {
    const withArgs = `IgnoreUnknown=1;MAC=${args}`;
    assert.equal(readConfig(request({ mac: key })).mac, key);
    assert.equal(readConfig(request({ mac: key }, withArgs)).mac, args);
    assert.equal(readConfig(request({ mac: key, runtimeConfig: { mac: runtime } }, withArgs)).mac, runtime);
  }
});

test('values of the wrong type or range name the key', () => {
  const wrong: [(r: ReturnType<typeof request>) => unknown, object, RegExp][] = [
    [macvlan.readConfig, { master: 5 }, /key "master": got 5, want a string/],
    [macvlan.readConfig, { mtu: '1500' }, /key "mtu"/],
    [macvlan.readConfig, { mode: 'source' }, /unknown macvlan mode: "source"/],
    [macvlan.readConfig, { bcqueuelen: -1 }, /key "bcqueuelen": got -1/],
    [macvlan.readConfig, { bcqueuelen: 2 ** 32 }, /key "bcqueuelen"/],
    [macvlan.readConfig, { linkInContainer: 'yes' }, /key "linkInContainer"/],
    [macvlan.readConfig, { mac: 'c2:00' }, /not a hardware address/],
    [ipvlan.readConfig, { mode: 'bridge' }, /unknown ipvlan mode: "bridge"/],
    [vlan.readConfig, { ipam, vlanId: 5 }, /"master" field is required/],
    [vlan.readConfig, { master: 'eth0', vlanId: 5 }, /vlan interface requires an IPAM configuration/],
    [vlan.readConfig, { master: 'eth0', ipam, vlanId: 4095 }, /invalid VLAN ID 4095/],
    [vlan.readConfig, { master: 'eth0', ipam, vlanId: '5' }, /key "vlanId"/],
    [tap.readConfig, { owner: -1 }, /key "owner"/],
    [tap.readConfig, { group: 2 ** 32 - 1 }, /key "group"/],
    [tap.readConfig, { mtu: 70_000 }, /key "mtu"/],
    [tap.readConfig, { multiQueue: 1 }, /key "multiQueue"/],
  ];
  for (const [readConfig, keys, message] of wrong) {
    assert.throws(() => readConfig(request(keys)), { name: 'CniError', number: 7, message });
  }
});

test('ipvlan: what a chain gives it', () => {
  const config = ipvlan.readConfig(request({}));
  const ips = [{ address: '10.0.0.2/24' }];
  assert.equal(config.mode, 'l2');
  assert.equal(ipvlan.chainedMaster(config, undefined), undefined);
  assert.equal(ipvlan.chainedMaster(config, { interfaces: [{ name: 'm1' }] }), 'm1');
  assert.equal(ipvlan.chainedMaster({ ...config, master: 'm0' }, { interfaces: [] }), 'm0');
  for (const interfaces of [[], [{ name: '' }], [{ name: 'a' }, { name: 'b' }]]) {
    assert.throws(() => ipvlan.chainedMaster(config, { interfaces }), /chained master failure/);
  }
  assert.deepEqual(ipvlan.chainedAddresses(config, { ips }), { ips });
  assert.equal(ipvlan.chainedAddresses({ ...config, ipamType: 'static' }, { ips }), undefined);
  assert.throws(() => ipvlan.chainedAddresses(config, { ips: [] }), /requires an IPAM configuration/);
});

test('tap: defaults, and every key', () => {
  assert.deepEqual(tap.readConfig(request({})), {
    multiQueue: false,
    mtu: undefined,
    mac: undefined,
    owner: undefined,
    group: undefined,
    selinuxContext: undefined,
    bridge: undefined,
    ipamType: undefined,
  });
  const keys = { multiQueue: true, mtu: 1400, owner: 0, group: 0, selinuxContext: 'a:b:c', bridge: 'br0' };
  assert.deepEqual(tap.readConfig(request({ ...keys, ipam })), {
    ...keys,
    mac: undefined,
    ipamType: 'host-local',
  });
});
