import { existsSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { CniError, type PluginRequest } from '@amphipod/cni';
import { readIpamType } from '../lib/ipam.ts';
import { readKeys } from '../lib/read-keys.ts';

/** How the device is named; the first of them counts, in this order. */
export interface HostDeviceConfig {
  device: string | undefined;
  hwaddr: string | undefined;
  kernelPath: string | undefined;
  /** `0000:00:1f.6` */
  pciAddress: string | undefined;
  /** A device of the auxiliary bus: `mlx5_core.sf.4` */
  auxDevice: string | undefined;
  /** The PCI device belongs to a user space driver and has no interface. */
  isDpdk: boolean;
  ipamType: string | undefined;
}

const dpdkDrivers: readonly string[] = ['vfio-pci', 'uio_pci_generic', 'igb_uio'];

export function pciDir(sysfs: string, address: string): string {
  return `${sysfs}/bus/pci/devices/${address}`;
}

export function auxDir(sysfs: string, device: string): string {
  return `${sysfs}/bus/auxiliary/devices/${device}`;
}

/** For ADD and CHECK. @param sysfs other than /sys in tests @throws CniError invalid-network-config, internal */
export function readConfig(
  request: Pick<PluginRequest, 'config'>,
  { sysfs = '/sys' }: { sysfs?: string } = {},
): HostDeviceConfig {
  const keys = readKeys(request.config);
  const deviceId = keys.object('runtimeConfig')?.string('deviceID') || undefined;
  const onBus = deviceId === undefined ? undefined : findOnBus(sysfs, deviceId);
  const config = {
    device: keys.string('device') || undefined,
    hwaddr: keys.string('hwaddr') || undefined,
    kernelPath: keys.string('kernelpath') || undefined,
    pciAddress: keys.string('pciBusID') || undefined,
    auxDevice: undefined,
    ...onBus,
  };
  if (Object.values(config).every((value) => value === undefined)) {
    throw new CniError(
      'invalid-network-config',
      'specify either "device", "hwaddr", "kernelpath" or "pciBusID"',
    );
  }
  const { pciAddress } = config;
  const isDpdk = pciAddress !== undefined && dpdkDrivers.includes(driverOf(sysfs, pciAddress));
  return { ...config, isDpdk, ipamType: readIpamType(request) };
}

/** An id that the runtime gives is that of a PCI or of an auxiliary device, and goes before the configuration's. */
function findOnBus(sysfs: string, id: string): Pick<HostDeviceConfig, 'pciAddress'> & { auxDevice?: string } {
  const isPlain = !id.includes('/') && id !== '.' && id !== '..';
  if (isPlain && existsSync(pciDir(sysfs, id))) return { pciAddress: id };
  if (isPlain && existsSync(auxDir(sysfs, id))) return { pciAddress: undefined, auxDevice: id };
  throw new CniError('internal', `runtime config DeviceID ${id} not found or unsupported`);
}

function driverOf(sysfs: string, pciAddress: string): string {
  try {
    return basename(readlinkSync(`${pciDir(sysfs, pciAddress)}/driver`));
  } catch (cause) {
    throw new CniError('internal', `error with host device: ${(cause as Error).message}`, { cause });
  }
}
