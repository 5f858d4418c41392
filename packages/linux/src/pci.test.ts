import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  isPciAddress,
  listPciDevices,
  pciBindDriver,
  pciNetdevs,
  pciRebind,
  pfNetdev,
  readPciDevice,
  setVfCount,
  vfAddresses,
} from './pci.ts';

/** A card with two virtual functions, a switch with its representor, and a virtio card. */
function fakeSysfs(): { sysfs: string } & Disposable {
  const sysfs = mkdtempSync(join(tmpdir(), 'sysfs-'));
  const write = (path: string, text: string) => {
    mkdirSync(join(sysfs, path, '..'), { recursive: true });
    writeFileSync(join(sysfs, path), text);
  };
  const link = (path: string, target: string) => symlinkSync(target, join(sysfs, path));
  const dir = 'bus/pci/devices';
  for (const [address, driver] of [
    ['0000:01:00.0', 'igb'],
    ['0000:01:10.0', 'igbvf'],
    ['0000:01:10.2', 'vfio-pci'],
    ['0000:02:00.0', 'mlx5_core'],
    ['0000:03:00.0', 'virtio-pci'],
  ] as const) {
    write(`${dir}/${address}/vendor`, '0x8086\n');
    write(`${dir}/${address}/device`, '0x10c9\n');
    write(`${dir}/${address}/class`, '0x020000\n');
    write(`bus/pci/drivers/${driver}/module`, '');
    link(`${dir}/${address}/driver`, `../../drivers/${driver}`);
  }
  write(`${dir}/0000:01:00.0/sriov_totalvfs`, '7\n');
  write(`${dir}/0000:01:00.0/sriov_numvfs`, '2\n');
  write(`${dir}/0000:01:00.0/numa_node`, '1\n');
  write(`${dir}/0000:01:10.0/numa_node`, '-1\n');
  write(`${dir}/0000:01:00.0/net/ens1f0/mtu`, '1500\n');
  link(`${dir}/0000:01:00.0/virtfn0`, '../0000:01:10.0');
  link(`${dir}/0000:01:00.0/virtfn1`, '../0000:01:10.2');
  link(`${dir}/0000:01:10.0/physfn`, '../0000:01:00.0');
  link(`${dir}/0000:01:10.2/physfn`, '../0000:01:00.0');
  link(`${dir}/0000:01:10.2/iommu_group`, '../../../kernel/iommu_groups/17');
  write(`${dir}/0000:02:00.0/net/aswitch0/phys_port_name`, 'pf0vf0\n');
  write(`${dir}/0000:02:00.0/net/enp2s0/phys_port_name`, 'p0\n');
  write(`${dir}/0000:03:00.0/virtio4/net/ens3/mtu`, '1500\n');
  write('bus/pci/drivers_probe', '');
  return { sysfs, [Symbol.dispose]: () => rmSync(sysfs, { recursive: true }) };
}

test('physical and virtual functions are read from sysfs', () => {
  using fake = fakeSysfs();
  const common = { vendor: '8086', device: '10c9', class: '020000' };
  assert.deepEqual(readPciDevice('0000:01:00.0', fake), {
    ...{ address: '0000:01:00.0', ...common, driver: 'igb', numaNode: 1, totalVfs: 7, vfCount: 2 },
  });
  assert.deepEqual(readPciDevice('0000:01:10.2', fake), {
    ...{ address: '0000:01:10.2', ...common, driver: 'vfio-pci', iommuGroup: '17' },
    ...{ pfAddress: '0000:01:00.0', vfIndex: 1 },
  });
  assert.equal(readPciDevice('0000:01:10.0', fake)?.numaNode, undefined);
  assert.equal(readPciDevice('0000:09:00.0', fake), undefined);
  assert.equal(readPciDevice('..', fake), undefined);
  assert.equal(listPciDevices(fake).length, 5);
  assert.deepEqual(listPciDevices({ sysfs: '/nonexistent/file' }), []);
  assert.deepEqual(vfAddresses('0000:01:00.0', fake), ['0000:01:10.0', '0000:01:10.2']);
});

test('interfaces of a device; that of a physical function is none that stands for a virtual one', () => {
  using fake = fakeSysfs();
  assert.deepEqual(pciNetdevs('0000:03:00.0', fake), ['ens3']);
  assert.deepEqual(pciNetdevs('0000:01:10.0', fake), []);
  assert.equal(pfNetdev('0000:01:00.0', fake), 'ens1f0');
  assert.equal(pfNetdev('0000:02:00.0', fake), 'enp2s0');
  assert.equal(pfNetdev('0000:09:00.0', fake), undefined);
});

test('only what looks like an address of a device is one', () => {
  for (const good of ['0000:01:10.0', '10000:af:1f.7']) assert.equal(isPciAddress(good), true, good);
  for (const bad of ['', '..', '01:10.0', '0000:01:10.8', '0000:01:10.0/net', '0000:AF:10.0']) {
    assert.equal(isPciAddress(bad), false, bad);
  }
});

test('the number of virtual functions and the driver are written where the kernel reads them', () => {
  using fake = fakeSysfs();
  const { sysfs } = fake;
  const text = (path: string) => readFileSync(join(sysfs, 'bus/pci', path), 'latin1');
  setVfCount('0000:01:00.0', 4, fake);
  assert.equal(text('devices/0000:01:00.0/sriov_numvfs'), '4');
  pciBindDriver('0000:01:10.0', 'vfio-pci', fake);
  assert.equal(text('devices/0000:01:10.0/driver_override'), 'vfio-pci');
  assert.equal(text('drivers/igbvf/unbind'), '0000:01:10.0');
  assert.equal(text('drivers_probe'), '0000:01:10.0');
  pciBindDriver('0000:01:10.0', undefined, fake);
  assert.equal(text('devices/0000:01:10.0/driver_override'), '\n');
  pciRebind('0000:01:10.2', fake);
  assert.equal(text('drivers/vfio-pci/unbind'), '0000:01:10.2');
  assert.equal(text('drivers/vfio-pci/bind'), '0000:01:10.2');
});
