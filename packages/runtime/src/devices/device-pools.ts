import { linkFind, openRtnl } from '@amphipod/netlink';
import { deviceHolder } from '@amphipod/plugins';
import { CriError } from '../errors.ts';
import { discoverDevices, type PoolDevice } from './discover.ts';
import { type DevicePool, readDeviceConfig } from './pool-config.ts';

/** The pools of a file, which is read when it is needed, and their devices as they are then. */
export class DevicePools {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  /** A device that nobody has. @throws CriError failed-precondition without such a pool, resource-exhausted */
  pick(resourceName: string, taken: ReadonlySet<string | undefined>): string {
    const { pools } = readDeviceConfig(this.#file);
    const pool = pools.find((each) => each.resourceName === resourceName);
    if (pool === undefined) {
      const names = pools.map((each) => each.resourceName).join(', ') || 'none';
      throw new CriError(
        'failed-precondition',
        `find device: no pool "${resourceName}" in ${this.#file}; pools there: ${names}`,
      );
    }
    const devices = devicesOf(pool);
    const isFree = ({ address }: PoolDevice) =>
      !taken.has(address) && deviceHolder(address)?.isAlive !== true;
    const found = devices.find((device) => device.isHealthy && isFree(device));
    if (found !== undefined) return found.address;
    const healthy = devices.filter(({ isHealthy }) => isHealthy).length;
    throw new CriError(
      'resource-exhausted',
      `find device: none of "${resourceName}" is free: it has ${devices.length}, ${healthy} of them healthy`,
    );
  }
}

/** The devices of a pool on this machine. */
export function devicesOf(pool: DevicePool): PoolDevice[] {
  using rtnl = openRtnl();
  return discoverDevices(pool, { isUp: (name) => linkFind(rtnl, name)?.flags.up ?? false });
}
