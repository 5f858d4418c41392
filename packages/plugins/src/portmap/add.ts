import { CniError, type PluginRequest, type Result } from '@amphipod/cni';
import { isCode, type UndoStack } from '@amphipod/linux';
import { type Cidr, type Nft, type NftElement, nftTransaction } from '@amphipod/netlink';
import type { PluginHost } from '../lib/host.ts';
import { ownerTag } from '../lib/owner.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { requirePrevResult } from '../lib/prev-result.ts';
import { withUndo } from '../lib/with-undo.ts';
import { allowLoopback } from './allow-loopback.ts';
import { addConditionalPorts, removeConditionalPorts } from './conditions.ts';
import { type PortmapConfig, readConfig } from './config.ts';
import { entriesFor, podCidrs } from './entries.ts';
import { flushUdp } from './flush-udp.ts';
import { type Entry, elementOps, frame, setsOf, tables } from './host-ports.ts';
import { addIptablesPorts } from './iptables-change.ts';
import { portsFor } from './iptables-ports.ts';
import { findElement, removeWhere } from './owned-elements.ts';

/** Puts the pod's ports into the maps; the result is that of the plugin before. */
export async function add(request: PluginRequest, host: PluginHost): Promise<Result> {
  const prevResult = requirePrevResult(request, 'must be called as chained plugin');
  const config = readConfig(request);
  if (config.mappings.length === 0) return prevResult;
  const owner = ownerOf(request);
  const pods = podCidrs(request);
  return await withUndo(async (undo) => {
    if (config.backend === 'nftables')
      await addNftPorts(host.nft, config, { pods, tag: ownerTag(owner), undo });
    else for (const pod of pods) await addIptablesPorts(portsFor(config, owner, pod), undo);
    const ipv4 = pods.find(({ ip }) => ip.family === 4);
    if (config.snat && ipv4 !== undefined) allowLoopback(host.rtnl, ipv4.ip);
    flushUdp(host.nft, config.mappings);
    return prevResult;
  });
}

async function addNftPorts(
  conn: Nft,
  config: PortmapConfig,
  { pods, tag, undo }: { pods: readonly Cidr[]; tag: string; undo: UndoStack },
): Promise<void> {
  const entries = pods.flatMap(({ ip }) => entriesFor(config, ip, tag));
  const conditional = pods.filter(({ ip }) => config.conditions[ip.family].length > 0);
  undo.defer('remove host ports', () => {
    removeWhere(conn, (comment) => comment === tag);
    if (conditional.length > 0) removeConditionalPorts(conn, (comment) => comment === tag);
  });
  if (entries.length > 0) putEntries(conn, entries);
  for (const { ip } of conditional) await addConditionalPorts(conn, config, { pod: ip, comment: tag });
}

/** Mostly one transaction, and nothing is asked before. */
function putEntries(conn: Nft, entries: readonly Entry[]): void {
  const create = elementOps('create', entries);
  try {
    nftTransaction(conn, create);
  } catch (error) {
    if (!isCode(error, 'ENOENT', 'EEXIST')) throw error;
    const used = Object.values(tables).filter((table) =>
      entries.some(({ of }) => setsOf(table).includes(of)),
    );
    nftTransaction(conn, [
      ...used.flatMap(frame),
      ...elementOps('delete', inTheWay(conn, entries)),
      ...create,
    ]);
  }
}

/** Our own elements from an interrupted ADD give way, those of others do not. @throws CniError naming port and holder */
function inTheWay(conn: Nft, entries: readonly Entry[]): Entry[] {
  return entries.flatMap(({ of, element }): Entry[] => {
    const present = findElement(conn, of, element.key);
    if (present === undefined) return [];
    // Sets are keyed by the pod's own address: what is there belongs to a pod that is gone.
    if (of.object === 'map' && present.comment !== element.comment) throw portTaken(element, present);
    return [{ of, element: present }];
  });
}

function portTaken({ key }: NftElement, { comment }: NftElement): CniError {
  return new CniError('internal', `host port ${String(key.at(-1))} is in use already`, {
    details: `it belongs to ${JSON.stringify(comment ?? 'nobody known')}`,
  });
}
