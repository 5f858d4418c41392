import { readPciDevice } from '@amphipod/linux';
import type { Device } from '../gen/api.ts';
import type { Sandbox } from '../store/records.ts';
import { deviceFiles } from './discover.ts';
import { environmentVariable } from './environment-variable.ts';

/**
 * What the containers of a pod get for the devices of its networks: the files of those that a program in user space drives, and
 * which they are, as the device plugin would say it. With a kubelet both are in the container's configuration already.
 */
export function podDevices({ furtherNetworks = [] }: Pick<Sandbox, 'furtherNetworks'>): {
  devices: Device[];
  env: string[];
} {
  const byResource = new Map<string, string[]>();
  const found = furtherNetworks.flatMap(({ deviceId, resourceName }) => {
    if (deviceId === undefined) return [];
    if (resourceName !== undefined)
      byResource.set(resourceName, [...(byResource.get(resourceName) ?? []), deviceId]);
    const device = readPciDevice(deviceId);
    return device === undefined ? [] : [{ ...device, isHealthy: true, needsVhostNet: false }];
  });
  return {
    devices: deviceFiles(found).map((path) => ({ hostPath: path, containerPath: path, permissions: 'rw' })),
    env: [...byResource].map(([name, ids]) => `${environmentVariable(name)}=${ids.join(',')}`),
  };
}
