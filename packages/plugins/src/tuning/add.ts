import { CniError, type PluginRequest, type Result } from '@amphipod/cni';
import type { UndoStack } from '@amphipod/linux';
import { linkFind, linkSet } from '@amphipod/netlink';
import type { PluginHost, Pod } from '../lib/host.ts';
import { ownerTag } from '../lib/owner.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { requirePrevResult } from '../lib/prev-result.ts';
import { withUndo } from '../lib/with-undo.ts';
import { requireAllowed } from './allowlist.ts';
import { backupPath, readBackup, writeBackup } from './backup.ts';
import { readConfig, type TuningConfig } from './config.ts';
import { settingsOf } from './link-settings.ts';
import { setSysctls, sysctlFiles } from './sysctls.ts';

/** Sets sysctls of the pod and settings of its interface, whose old ones are kept for DEL. */
export async function add(request: PluginRequest, host: PluginHost): Promise<Result> {
  const config = readConfig(request);
  requireAllowed(config.sysctls);
  const sysctls = sysctlFiles(config.sysctls, request.ifName);
  const prevResult = requirePrevResult(request);
  using pod = host.openPod(request.netns);
  return await withUndo(async (undo) => {
    setSysctls(pod, undo, sysctls);
    if (Object.keys(config.link).length > 0) tuneLink(request, pod, undo, config);
    const { macText } = config;
    return macText === undefined ? prevResult : withMac(prevResult, request.ifName, macText);
  });
}

function tuneLink(
  request: PluginRequest,
  pod: Pod,
  undo: UndoStack,
  { link: wanted, dataDir }: TuningConfig,
): void {
  const { ifName } = request;
  const link = linkFind(pod.rtnl, ifName);
  if (link === undefined) {
    throw new CniError('internal', `failed to get ${JSON.stringify(ifName)}: Link not found`);
  }
  const before = settingsOf(link, wanted);
  const path = backupPath(dataDir, request);
  const older = readBackup(path);
  // A second ADD finds the link tuned already: what DEL is to restore is what was before the first.
  const isTuned = older !== undefined && older.tunedMac === link.mac;
  const backup = {
    settings: isTuned ? { ...before, ...older.settings } : before,
    owner: ownerTag(ownerOf(request)),
    tunedMac: wanted.mac ?? link.mac,
  };
  writeBackup(undo, path, backup, older?.text);
  undo.defer(`restore link ${ifName}`, () => linkSet(pod.rtnl, link.ifIndex, before));
  linkSet(pod.rtnl, link.ifIndex, wanted);
}

/** The address as it was written, at the pod's interface; where none is said to be in a pod, at any of that name. */
function withMac(result: Result, ifName: string, mac: string): Result {
  const { interfaces } = result;
  if (interfaces === undefined) return result;
  const isInPod = interfaces.some(({ name, sandbox }) => name === ifName && sandbox !== undefined);
  return {
    ...result,
    interfaces: interfaces.map((item) =>
      item.name === ifName && (!isInPod || item.sandbox !== undefined) ? { ...item, mac } : item,
    ),
  };
}
