import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { NetConf } from '@amphipod/cni';
import { Rtnl } from '@amphipod/netlink';
import { deviceAlias, parseDeviceAlias } from '../lib/device-alias.ts';
import { readConfig } from './config.ts';
import { findDevice } from './find-device.ts';

/** A /sys with a network card, a virtio card, one with a driver for user space, and a subfunction. */
function fakeSysfs(): { sysfs: string } & Disposable {
  const sysfs = mkdtempSync(join(tmpdir(), 'sysfs-'));
  const card = (address: string, driver: string, net: string) => {
    const dir = join(sysfs, 'bus/pci/devices', address);
    mkdirSync(join(dir, net), { recursive: true });
    mkdirSync(join(sysfs, 'bus/pci/drivers', driver), { recursive: true });
    symlinkSync(`../../drivers/${driver}`, join(dir, 'driver'));
  };
  card('0000:01:00.0', 'e1000e', 'net/ens1f0');
  card('0000:02:00.0', 'virtio-pci', 'virtio3/net/ens2');
  card('0000:03:00.0', 'vfio-pci', '.');
  card('0000:04:00.0', 'e1000e', '.');
  mkdirSync(join(sysfs, 'bus/auxiliary/devices/mlx5_core.sf.4/net/ens1f0s4'), { recursive: true });
  return { sysfs, [Symbol.dispose]: () => rmSync(sysfs, { recursive: true }) };
}

const read = (keys: object, sysfs: string) =>
  readConfig({ config: { type: 'host-device', ...keys } as NetConf }, { sysfs });

/** The name of the link that the kernel would be asked for. */
function askedFor(keys: object, sysfs: string): string {
  let asked = '';
  const rtnl = new Rtnl(
    {
      send(datagram: Buffer) {
        asked = /[a-z][a-z0-9]+/.exec(datagram.subarray(32).toString('latin1'))![0];
        throw new Error('enough');
      },
      receiveNow: () => undefined,
      close() {},
    },
    () => {
      throw new Error('no second socket wanted');
    },
  );
  assert.throws(() => findDevice(rtnl, read(keys, sysfs), { sysfs }), /enough/);
  return asked;
}

test('each way to name a device leads to its interface', () => {
  using fake = fakeSysfs();
  const { sysfs } = fake;
  assert.equal(askedFor({ device: 'ens9' }, sysfs), 'ens9');
  assert.equal(askedFor({ pciBusID: '0000:01:00.0' }, sysfs), 'ens1f0');
  assert.equal(askedFor({ pciBusID: '0000:02:00.0' }, sysfs), 'ens2');
  assert.equal(askedFor({ runtimeConfig: { deviceID: '0000:01:00.0' } }, sysfs), 'ens1f0');
  assert.equal(askedFor({ runtimeConfig: { deviceID: 'mlx5_core.sf.4' } }, sysfs), 'ens1f0s4');
  // The runtime's id goes before the configuration's, "device" before both.
  const both = { pciBusID: '0000:02:00.0', runtimeConfig: { deviceID: '0000:01:00.0' } };
  assert.equal(askedFor(both, sysfs), 'ens1f0');
  assert.equal(askedFor({ ...both, runtimeConfig: { deviceID: 'mlx5_core.sf.4' } }, sysfs), 'ens1f0s4');
  assert.equal(askedFor({ ...both, device: 'ens9' }, sysfs), 'ens9');
  assert.throws(
    () => askedFor({ pciBusID: '0000:04:00.0' }, sysfs),
    /failed to find host device: no net directory under pci device 0000:04:00\.0/,
  );
});

test('a PCI device with a driver for user space has no interface', () => {
  using fake = fakeSysfs();
  assert.equal(read({ pciBusID: '0000:03:00.0' }, fake.sysfs).isDpdk, true);
  assert.equal(read({ runtimeConfig: { deviceID: '0000:03:00.0' } }, fake.sysfs).isDpdk, true);
  assert.equal(read({ pciBusID: '0000:01:00.0' }, fake.sysfs).isDpdk, false);
});

test('ids that are not there, or are paths, are refused', () => {
  using fake = fakeSysfs();
  for (const deviceID of ['0000:09:00.0', '../devices/0000:01:00.0', '..', '.']) {
    assert.throws(() => read({ runtimeConfig: { deviceID } }, fake.sysfs), {
      msg: `runtime config DeviceID ${deviceID} not found or unsupported`,
    });
  }
  for (const pciBusID of ['0000:09:00.0', '../pci/devices/0000:01:00.0']) {
    assert.throws(() => read({ pciBusID }, fake.sysfs), /error with host device/);
  }
  assert.throws(() => read({}, fake.sysfs), { number: 7 });
  assert.throws(() => read({ device: 5 }, fake.sysfs), /key "device": got 5, want a string/);
});

test('the alias of a device names its owner and its own name', () => {
  const owner = { network: 'n', containerID: 'c', ifName: 'eth0' };
  assert.equal(deviceAlias(owner, 'ens1f0'), 'cni n c/eth0 was ens1f0');
  const long = { ...owner, containerID: 'x'.repeat(300) };
  assert.ok(deviceAlias(long, 'a-name-of-15-by').length <= 255);
  for (const each of [owner, long]) {
    assert.equal(parseDeviceAlias(deviceAlias(each, 'ens1f0'))?.hostName, 'ens1f0');
  }
  assert.deepEqual(parseDeviceAlias('cni n c/eth0 was ens1f0'), { tag: 'cni n c/eth0', hostName: 'ens1f0' });
  for (const other of [undefined, '', 'uplink', 'this was ens1f0', 'cni n c/eth0']) {
    assert.equal(parseDeviceAlias(other), undefined);
  }
});
