import type { PluginRequest } from '@amphipod/cni';
import { Attempts } from '../lib/attempts.ts';
import { releaseAfter } from '../lib/detach-link.ts';
import type { PluginHost } from '../lib/host.ts';
import { ipamCall } from '../lib/ipam.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { type Call, isSameOwner } from './call.ts';
import { readConfig } from './config.ts';
import { type Log, openLog } from './log.ts';
import type { Places } from './places.ts';
import { listRecords } from './records.ts';
import { releaseOf } from './release.ts';

/** Whatever the configuration says by now, a DEL must work. */
function logOf(request: PluginRequest): Log {
  try {
    return openLog(request, readConfig(request));
  } catch {
    return openLog(request, { logLevel: 'info', logFile: undefined });
  }
}

/** Gives back what this attachment has, by what is noted and not by the configuration, and its address. */
export async function del(request: PluginRequest, host: PluginHost, places: Places): Promise<void> {
  const call: Call = { request, host, places, log: logOf(request) };
  const owner = ownerOf(request);
  await releaseAfter(request, async () => {
    const attempts = new Attempts();
    for (const { address, owner: holder } of listRecords(places)) {
      if (!isSameOwner(holder, owner)) continue;
      await attempts.run(() => releaseOf(call, address, (record) => isSameOwner(record.owner, owner)));
    }
    attempts.throwIfAny();
  });
}

/** The same for the network's attachments that are no longer valid. */
export async function gc(request: PluginRequest, host: PluginHost, places: Places): Promise<void> {
  const call: Call = { request, host, places, log: logOf(request) };
  const { config, validAttachments = [] } = request;
  const attempts = new Attempts();
  for (const { address, owner } of listRecords(places)) {
    const isValid = validAttachments.some((valid) => isSameOwner({ network: config.name, ...valid }, owner));
    if (owner.network !== config.name || isValid) continue;
    await attempts.run(() => releaseOf(call, address, (record) => isSameOwner(record.owner, owner)));
  }
  await attempts.run(() => ipamCall(request, 'GC'));
  attempts.throwIfAny();
}
