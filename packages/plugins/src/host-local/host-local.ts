import { join } from 'node:path';
import {
  CniError,
  type Plugin,
  type PluginRequest,
  type Result,
  specVersions,
  toCniError,
} from '@amphipod/cni';
import { isCode, type UndoStack } from '@amphipod/linux';
import { formatIp, type IpAddress } from '@amphipod/netlink';
import type { PluginHost } from '../lib/host.ts';
import { withUndo } from '../lib/with-undo.ts';
import { allocate } from './allocate.ts';
import { type HostLocalConfig, readConfig, readDataDir } from './config.ts';
import { lockNetwork } from './lock-network.ts';
import { candidates, formatRangeSet, rangeFor } from './range.ts';
import { ownerTexts, Reservations } from './reservations.ts';
import { readResolvConf } from './resolv-conf.ts';

/** Gives out addresses of ranges and keeps them as files; docs/plugins/host-local.md */
export const hostLocal: Plugin<Pick<PluginHost, 'memory'>> = {
  type: 'host-local',
  about: 'CNI host-local plugin of Amphipod',
  versions: specVersions,

  async add(request, host) {
    const config = readConfig(request);
    const dns = config.resolvConf === undefined ? undefined : readResolvConf(config.resolvConf);
    const dir = join(config.dataDir, config.network);
    const ips = await withLock(request, host, dir, (reservations) =>
      withUndo(async (undo) => allocateAll(request, config, { reservations, undo })),
    );
    return {
      ips,
      ...(config.routes.length > 0 && { routes: config.routes }),
      ...(dns !== undefined && { dns }),
    };
  },

  async del(request, host) {
    const dir = join(readDataDir(request.config), request.config.name);
    const owners = ownerTexts(request.containerID, request.ifName);
    await withLock(request, host, dir, async (reservations) => {
      const release = (owner: string, fresh: boolean) => {
        const mine = reservations.list({ fresh }).filter((reservation) => reservation.owner === owner);
        return mine.filter(({ path }) => reservations.release(path, [owner])).length;
      };
      // Nothing found by memory: another program may have worked on the directory. Old files only when there is no other.
      if (release(owners[0], false) === 0 && release(owners[0], true) === 0) release(owners[1], false);
    });
  },

  async check(request, host) {
    const dir = join(readDataDir(request.config), request.config.name);
    const owners = ownerTexts(request.containerID, request.ifName);
    await withLock(request, host, dir, async (reservations) => {
      const isThere = reservations.list({ fresh: true }).some(({ owner }) => owners.includes(owner));
      if (!isThere) {
        throw new CniError(
          'plugin-specific',
          `host-local: Failed to find address added by container ${request.containerID}`,
        );
      }
    });
  },

  async status(request, host) {
    const config = readConfig(request);
    await withLock(request, host, join(config.dataDir, config.network), async (reservations) => {
      const used = new Set(reservations.list().map(({ ip }) => formatIp(ip)));
      for (const set of config.rangeSets) {
        const isFree = [...candidates(set, undefined).take(used.size + 1)].some(
          ({ ip }) => !used.has(formatIp(ip)),
        );
        if (!isFree) {
          throw new CniError(
            'plugin-not-available',
            `no IP addresses available in range set: ${formatRangeSet(set)}`,
          );
        }
      }
    });
  },

  async gc(request, host) {
    const dir = join(readDataDir(request.config), request.config.name);
    const valid = new Set(
      (request.validAttachments ?? []).flatMap(({ containerID, ifName }) => ownerTexts(containerID, ifName)),
    );
    await withLock(request, host, dir, async (reservations) => {
      for (const { path, owner } of reservations.list({ fresh: true })) {
        if (!valid.has(owner)) reservations.release(path, [owner]);
      }
    });
  },
};

async function withLock<T>(
  { signal }: PluginRequest,
  { memory }: Pick<PluginHost, 'memory'>,
  dir: string,
  work: (reservations: Reservations) => Promise<T>,
): Promise<T> {
  const known = memory.reservations.get(dir) ?? new Map<string, string>();
  memory.reservations.set(dir, known);
  using _lock = await lockMakingDir(dir, signal);
  return await work(new Reservations(dir, known));
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

function allocateAll(
  { containerID, ifName }: PluginRequest,
  { rangeSets, requested }: HostLocalConfig,
  { reservations, undo }: { reservations: Reservations; undo: UndoStack },
): NonNullable<Result['ips']> {
  const [owner] = ownerTexts(containerID, ifName);
  const taken = reservations.list();
  const unused = [...requested];
  const ips = rangeSets.map((set, setIndex) => {
    const at = unused.findIndex((ip) => rangeFor(set, ip) !== undefined);
    const wanted: IpAddress | undefined = at < 0 ? undefined : unused.splice(at, 1)[0];
    try {
      return allocate(reservations, undo, { set, setIndex, requested: wanted, containerID, owner, taken });
    } catch (error) {
      const { number, msg, details } = toCniError(error);
      throw new CniError(number, `failed to allocate for range ${setIndex}: ${msg}`, {
        details,
        cause: error,
      });
    }
  });
  if (unused.length > 0) {
    throw new CniError('internal', `failed to allocate all requested IPs: ${unused.map(formatIp).join(' ')}`);
  }
  return ips;
}
