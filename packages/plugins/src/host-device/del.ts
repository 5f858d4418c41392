import type { PluginRequest } from '@amphipod/cni';
import { type Link, linkList } from '@amphipod/netlink';
import { Attempts } from '../lib/attempts.ts';
import { findAttached, releaseAfter } from '../lib/detach-link.ts';
import { parseDeviceAlias } from '../lib/device-alias.ts';
import { openPodIfThere, type PluginHost, type Pod } from '../lib/host.ts';
import { ipamCall } from '../lib/ipam.ts';
import { isStaleTag, ownerTag } from '../lib/owner.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { readKeys } from '../lib/read-keys.ts';
import { moveOut, renameStray } from './move.ts';

/** Gives the device back to the host under its own name, wherever it is by now. */
export async function del(request: PluginRequest, host: PluginHost): Promise<void> {
  await releaseAfter(request, async () => {
    using pod = openPodIfThere(host, request.netns);
    if (pod === undefined || !giveBack(host, pod, request))
      nameStrays(host, (tag) => tag === ownerTag(ownerOf(request)));
  });
}

/** False when the pod has no such device. */
function giveBack(host: PluginHost, pod: Pod, request: PluginRequest): boolean {
  const link = findAttached(host, pod, request);
  if (link === undefined) return false;
  const hostName = hostNameOf(link, request);
  // Nobody knows its name; it returns by itself when the namespace ends.
  if (hostName === undefined) return false;
  moveOut(pod, link, hostName);
  return true;
}

/** From our alias; from that of the reference plugin, which is the name itself; from the configuration. */
function hostNameOf({ alias }: Link, { config }: PluginRequest): string | undefined {
  return parseDeviceAlias(alias)?.hostName ?? (alias || readKeys(config).string('device') || undefined);
}

/** Devices whose pod died with its namespace: the kernel put them on the host under the pod's name, alias included. */
function nameStrays(host: PluginHost, isWanted: (tag: string) => boolean): void {
  for (const link of linkList(host.rtnl)) {
    const stray = parseDeviceAlias(link.alias);
    if (stray !== undefined && isWanted(stray.tag)) renameStray(host.rtnl, link, stray.hostName);
  }
}

/** Names the strays of attachments that are no longer valid, and lets IPAM do its own. */
export async function gc(request: PluginRequest, host: PluginHost): Promise<void> {
  const { config, validAttachments: valid = [] } = request;
  const attempts = new Attempts();
  await attempts.run(() => nameStrays(host, (tag) => isStaleTag(tag, config.name, valid)));
  await attempts.run(() => ipamCall(request, 'GC'));
  attempts.throwIfAny();
}
