import type { PluginRequest } from '@amphipod/cni';
import { linkFind, linkSet } from '@amphipod/netlink';
import { Attempts } from '../lib/attempts.ts';
import { openPodIfThere, type PluginHost } from '../lib/host.ts';
import { ownerTag } from '../lib/owner.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { type Backup, backupPath, readBackup, removeBackup } from './backup.ts';
import { readDataDir } from './config.ts';

/** Gives the interface its old settings back, if it is still there; the file goes in any case. */
export async function del(request: PluginRequest, host: PluginHost): Promise<void> {
  const path = backupPath(readDataDir(request), request);
  const attempts = new Attempts();
  const backup = readBackup(path);
  if (backup !== undefined) {
    // Of another network, which has the container now.
    if (backup.owner !== undefined && backup.owner !== ownerTag(ownerOf(request))) return;
    await attempts.run(() => restore(request, host, backup, attempts));
  }
  await attempts.run(() => removeBackup(path));
  attempts.throwIfAny();
}

async function restore(
  { netns, ifName }: PluginRequest,
  host: PluginHost,
  { settings, tunedMac }: Backup,
  attempts: Attempts,
): Promise<void> {
  if (Object.keys(settings).length === 0) return;
  using pod = openPodIfThere(host, netns);
  const link = pod && linkFind(pod.rtnl, ifName);
  // Another hardware address: the namespace has a new owner.
  if (pod === undefined || link === undefined || (tunedMac !== undefined && link.mac !== tunedMac)) return;
  try {
    linkSet(pod.rtnl, link.ifIndex, settings);
  } catch {
    // The kernel stops at the first that it refuses: one by one the others come back.
    for (const [key, value] of Object.entries(settings)) {
      await attempts.run(() => linkSet(pod.rtnl, link.ifIndex, { [key]: value }));
    }
  }
}
