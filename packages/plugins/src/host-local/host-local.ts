import { join } from 'node:path';
import { CniError, type Plugin, specVersions } from '@amphipod/cni';
import { isCode } from '@amphipod/linux';
import { withUndo } from '../lib/with-undo.ts';
import { allocate } from './allocate.ts';
import { readConfig, readDataDir } from './config.ts';
import { findFree } from './find-free.ts';
import { lockNetwork } from './lock-network.ts';
import { ownerTexts, Reservations } from './reservations.ts';
import { readResolvConf } from './resolv-conf.ts';

/** Gives out addresses of ranges and keeps them as files; docs/plugins/host-local.md */
export const hostLocal: Plugin<unknown> = {
  type: 'host-local',
  about: 'CNI host-local plugin of Amphipod',
  versions: specVersions,

  async add(request) {
    const config = readConfig(request);
    const dns = config.resolvConf === undefined ? undefined : readResolvConf(config.resolvConf);
    const ips = await locked(join(config.dataDir, config.network), request.signal, (reservations) =>
      withUndo(async (undo) => allocate(request, config, { reservations, undo })),
    );
    return {
      ips,
      ...(config.routes.length > 0 && { routes: config.routes }),
      ...(dns !== undefined && { dns }),
    };
  },

  async del({ containerID, ifName, config, signal }) {
    await locked(join(readDataDir(config), config.name), signal, (reservations) => {
      // Files without the interface only when there are none with it, as the reference does.
      const held = reservations.ofContainer(containerID);
      for (const owner of ownerTexts(containerID, ifName)) {
        const mine = held.filter((one) => one.owner === owner);
        for (const one of mine) reservations.release(one);
        if (mine.length > 0) return;
      }
    });
  },

  async check({ containerID, ifName, config, signal }) {
    await locked(join(readDataDir(config), config.name), signal, (reservations) => {
      const owners = ownerTexts(containerID, ifName);
      if (reservations.ofContainer(containerID).some(({ owner }) => owners.includes(owner))) return;
      throw new CniError(
        'plugin-specific',
        `host-local: Failed to find address added by container ${containerID}`,
      );
    });
  },

  async status(request) {
    const { dataDir, network, rangeSets } = readConfig(request);
    await locked(join(dataDir, network), request.signal, (reservations) => {
      for (const [setIndex, set] of rangeSets.entries())
        findFree(reservations, { set, setIndex }, 'plugin-not-available');
    });
  },

  async gc({ config, validAttachments = [], signal }) {
    const valid = new Set(
      validAttachments.flatMap(({ containerID, ifName }) => ownerTexts(containerID, ifName)),
    );
    await locked(join(readDataDir(config), config.name), signal, (reservations) => {
      for (const one of reservations.list()) if (!valid.has(one.owner)) reservations.release(one);
    });
  },
};

async function locked<T>(
  dir: string,
  signal: AbortSignal,
  work: (reservations: Reservations) => T | Promise<T>,
): Promise<T> {
  using _lock = await lockMakingDir(dir, signal);
  using reservations = new Reservations(dir);
  return await work(reservations);
}

async function lockMakingDir(dir: string, signal: AbortSignal): Promise<Disposable> {
  try {
    return await lockNetwork(dir, signal);
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error;
  }
  Reservations.makeDir(dir);
  return await lockNetwork(dir, signal);
}
