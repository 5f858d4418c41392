import { CniError } from '@amphipod/cni';
import { isCode, type UndoStack } from '@amphipod/linux';
import { type Link, linkAdd, linkDel, linkFind, linkList, linkSet, type Rtnl } from '@amphipod/netlink';
import { takeTable, usedTables } from '../lib/route-tables.ts';
import type { VrfConfig } from './config.ts';

/** A link of kind `vrf`, and the routing table of its members. */
export interface Vrf {
  link: Link;
  table: number;
}

/** The VRF of that name; undefined when there is none. @throws CniError when the name is another link's */
function findVrf(rtnl: Rtnl, name: string): Vrf | undefined {
  const link = linkFind(rtnl, name);
  if (link === undefined) return undefined;
  if (link.vrf === undefined) throw new CniError('internal', `Netlink ${name} is not a VRF`);
  return { link, table: link.vrf.table };
}

/**
 * The VRF of the configuration, made when it is not there. A new one says in its alias who made it.
 * `ip link add NAME type vrf table TABLE`
 */
export function ensureVrf(rtnl: Rtnl, undo: UndoStack, config: VrfConfig, tag: string): Vrf {
  const { vrfName, table } = config;
  const found = findVrf(rtnl, vrfName);
  if (found === undefined) return createVrf(rtnl, undo, config, tag);
  if (table === undefined || table === found.table) return found;
  throw new CniError('internal', `VRF ${vrfName} already exist with different routing table ${found.table}`);
}

function createVrf(rtnl: Rtnl, undo: UndoStack, config: VrfConfig, tag: string): Vrf {
  const { vrfName: name } = config;
  const table = config.table ?? freeTable(rtnl);
  let made: Link | undefined;
  undo.defer(`remove vrf ${name}`, async () => {
    if (made !== undefined) await linkDel(rtnl, made.ifIndex);
  });
  try {
    made = linkAdd(rtnl, { kind: 'vrf', name, table, up: true });
  } catch (cause) {
    throw new CniError('internal', `could not add VRF ${name}: ${(cause as Error).message}`, { cause });
  }
  linkSet(rtnl, made.ifIndex, { alias: tag });
  return { link: made, table };
}

/** The lowest that no VRF has, and that nothing is in or leads to. */
function freeTable(rtnl: Rtnl): number {
  const used = usedTables(rtnl);
  for (const { vrf } of linkList(rtnl, { kind: 'vrf' })) if (vrf !== undefined) used.add(vrf.table);
  return takeTable(used, 1);
}

/** @throws CniError plugin-not-available when the kernel has no VRFs */
export function requireVrfKind(rtnl: Rtnl): void {
  try {
    // Refused for its table by a kernel that knows the kind, so that nothing comes of it.
    linkAdd(rtnl, { kind: 'vrf', name: 'vrfprobe', table: 0 });
  } catch (cause) {
    if (isCode(cause, 'EINVAL')) return;
    throw new CniError('plugin-not-available', `this kernel has no VRFs: ${(cause as Error).message}`, {
      cause,
    });
  }
}
