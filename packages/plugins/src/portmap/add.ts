import { CniError, type PluginRequest, type Result } from '@amphipod/cni';
import { isCode, type UndoStack } from '@amphipod/linux';
import { type IpAddress, type Nft, type NftElement, nftTransaction } from '@amphipod/netlink';
import type { PluginHost } from '../lib/host.ts';
import { ownerTag } from '../lib/owner.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { withUndo } from '../lib/with-undo.ts';
import { allowLoopback } from './allow-loopback.ts';
import { addConditionalPorts, removeConditionalPorts } from './conditions.ts';
import { type PortmapConfig, readConfig } from './config.ts';
import { entriesFor, podCidrs } from './entries.ts';
import { flushUdp } from './flush-udp.ts';
import { type Entry, elementOps, frame, tables } from './host-ports.ts';
import { addIptablesPorts } from './iptables-change.ts';
import { portsFor } from './iptables-ports.ts';
import { listElements, removeWhere } from './owned-elements.ts';

/** Puts the pod's ports into the maps; the result is that of the plugin before. */
export async function add(request: PluginRequest, host: PluginHost): Promise<Result> {
  const { prevResult } = request;
  if (prevResult === undefined)
    throw new CniError('invalid-network-config', 'must be called as chained plugin');
  const config = readConfig(request);
  if (config.mappings.length === 0) return prevResult;
  const owner = ownerOf(request);
  return await withUndo(async (undo) => {
    for (const pod of podCidrs(prevResult)) {
      if (config.backend === 'iptables') await addIptablesPorts(portsFor(config, owner, pod), undo);
      else await addNftPorts(host.nft, config, { pod: pod.ip, tag: ownerTag(owner), undo });
      if (config.snat && pod.ip.family === 4) allowLoopback(host.rtnl, pod.ip);
    }
    flushUdp(host.nft, config.mappings);
    return prevResult;
  });
}

async function addNftPorts(
  conn: Nft,
  config: PortmapConfig,
  { pod, tag, undo }: { pod: IpAddress; tag: string; undo: UndoStack },
): Promise<void> {
  const entries = entriesFor(config, pod, tag);
  const isConditional = config.conditions[pod.family].length > 0;
  undo.defer('remove host ports', () => {
    removeWhere(conn, (comment) => comment === tag);
    if (isConditional) removeConditionalPorts(conn, (comment) => comment === tag);
  });
  if (entries.length > 0) putEntries(conn, pod, entries);
  if (isConditional) await addConditionalPorts(conn, config, { pod, comment: tag });
}

function putEntries(conn: Nft, { family }: IpAddress, entries: readonly Entry[]): void {
  const create = elementOps('create', entries);
  try {
    nftTransaction(conn, create);
  } catch (error) {
    if (isCode(error, 'ENOENT')) nftTransaction(conn, [...frame(tables[family]), ...create]);
    else if (isCode(error, 'EEXIST')) replaceOwn(conn, entries);
    else throw error;
  }
}

/** Our own elements from an interrupted ADD give way, those of others do not. @throws CniError naming port and holder */
function replaceOwn(conn: Nft, entries: readonly Entry[]): void {
  const old = entries.flatMap(({ of, element }): Entry[] => {
    const present = listElements(conn, of).find((other) => keyText(other) === keyText(element));
    if (present === undefined) return [];
    // Sets are keyed by the pod's own address: what is there belongs to a pod that is gone.
    if (of.object === 'map' && present.comment !== element.comment) throw portTaken(element, present);
    return [{ of, element: present }];
  });
  nftTransaction(conn, [...elementOps('delete', old), ...elementOps('create', entries)]);
}

function portTaken({ key }: NftElement, { comment }: NftElement): CniError {
  return new CniError('internal', `host port ${String(key.at(-1))} is in use already`, {
    details: `it belongs to ${JSON.stringify(comment ?? 'nobody known')}`,
  });
}

function keyText({ key }: NftElement): string {
  return key
    .map((part) => (typeof part === 'object' && 'value' in part ? part.value : String(part)))
    .join(' ');
}
