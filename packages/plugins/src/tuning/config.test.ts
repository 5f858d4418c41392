import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NetConf } from '@amphipod/cni';
import { readConfig } from './config.ts';
import { sysctlFiles } from './sysctls.ts';

function read(keys: object, args = '') {
  const config = { cniVersion: '1.1.0', name: 'n', type: 'tuning', ...keys } as NetConf;
  return readConfig({ config, args });
}

test('which hardware address is taken', () => {
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((x) => `02:00:00:00:00:0${x}`);
  assert.equal(read({}).link.mac, undefined);
  assert.equal(read({ mac: a }).link.mac, a);
  assert.equal(read({ mac: a }, `MAC=${b}`).link.mac, b);
  assert.equal(read({ mac: a, runtimeConfig: { mac: c } }, `MAC=${b}`).link.mac, c);
  const all = { mac: a, runtimeConfig: { mac: c }, args: { cni: { mac: d } } };
  assert.equal(read(all, `MAC=${b}`).link.mac, d);
  assert.equal(read({ mac: a, args: { cni: { mac: '' } } }).link.mac, undefined);
});

test('how a hardware address may be written', () => {
  for (const mac of ['C2:11:22:33:44:55', 'c2-11-22-33-44-55', 'c211.2233.4455']) {
    const { link, macText } = read({ mac });
    assert.deepEqual([link.mac, macText], ['c2:11:22:33:44:55', mac]);
  }
  for (const mac of ['c2:11:22:33:44', 'c2:11-22:33:44:55', 'x', 'c21122334455']) {
    assert.throws(() => read({ mac }), /invalid args .* for MAC addr: address .*: invalid MAC address/);
  }
});

test('args.cni overrides every key and adds to the sysctls', () => {
  const keys = { mtu: 1400, promisc: true, allmulti: true, txQLen: 5, sysctl: { a: '1', b: '2' } };
  const cni = { mtu: 1300, promisc: false, allmulti: false, txQLen: 0, sysctl: { b: '3', c: '4' } };
  assert.deepEqual(read(keys).link, { mtu: 1400, promisc: true, allMulti: true, txQueueLength: 5 });
  const overridden = read({ ...keys, args: { cni } });
  assert.deepEqual(overridden.link, { mtu: 1300, allMulti: false, txQueueLength: 0 });
  assert.deepEqual(overridden.sysctls, [
    ['a', '1'],
    ['b', '3'],
    ['c', '4'],
  ]);
  // The reference ends with a panic here.
  assert.deepEqual(read({ args: { cni: { sysctl: { c: '4' } } } }).sysctls, [['c', '4']]);
});

test('values of the wrong kind are named', () => {
  assert.throws(() => read({ sysctl: { 'net.a': 1 } }), /key "sysctl\.net\.a": got 1, want a string/);
  assert.throws(() => read({ sysctl: [] }), /key "sysctl": got \[\], want an object/);
  assert.throws(() => read({ mtu: -1 }), /key "mtu"/);
  assert.throws(() => read({ args: { cni: { txQLen: 'x' } } }), /key "args\.cni\.txQLen"/);
  assert.throws(() => read({}, 'K8S_POD_NAME=x'), /ARGS: unknown args \["K8S_POD_NAME=x"\]/);
});

test('sysctls given twice', () => {
  const config = { cniVersion: '1.1.0', name: 'n', type: 'tuning' } as NetConf;
  const withKeys =
    (...paths: string[][]) =>
    () =>
      readConfig({ config, args: '', duplicateKeys: () => paths });
  assert.throws(withKeys(['sysctl', 'net.a']), /duplicated sysctl keys are not allowed/);
  withKeys(['name'], ['args', 'cni', 'sysctl', 'net.a'], ['sysctl'])();
});

test('files of sysctls', () => {
  const path = (key: string, ifName = 'eth0') => sysctlFiles([[key, '1']], ifName)[0]!.path;
  assert.equal(path('net.core.somaxconn'), '/proc/sys/net/core/somaxconn');
  assert.equal(path('net/core/somaxconn'), '/proc/sys/net/core/somaxconn');
  assert.equal(path('net.ipv4.conf.IFNAME.rp_filter'), '/proc/sys/net/ipv4/conf/eth0/rp_filter');
  assert.equal(path('net/ipv4/conf/IFNAME/x', 'eth0.7'), '/proc/sys/net/ipv4/conf/eth0.7/x');
  assert.equal(path('net.IFNAME.IFNAME', 'a$&'), '/proc/sys/net/a$&/IFNAME');
  // Dots separate, so that there is no way up.
  assert.equal(path('net/../../kernel/hostname'), '/proc/sys/net/kernel/hostname');
  for (const key of ['kernel.hostname', '', 'net', '../../etc/passwd', 'net\0.x']) {
    assert.throws(() => path(key), /invalid net sysctl key: /, key);
  }
});
