import type { PluginRequest } from '@amphipod/cni';
import { isCode } from '@amphipod/linux';
import type { PluginHost } from '../lib/host.ts';
import { lockInTime } from '../lib/lock-in-time.ts';
import { type Owner, ownerTag } from '../lib/owner.ts';
import type { Log } from './log.ts';
import type { Places } from './places.ts';
import { lockFile, makeStateDirs } from './records.ts';

/** One call of the plugin and what it works on. */
export interface Call {
  request: PluginRequest;
  host: PluginHost;
  places: Places;
  log: Log;
}

/** Takes the lock of a device, which the reference's plugin takes too. */
export async function lockDevice(
  { request, places }: Pick<Call, 'request' | 'places'>,
  address: string,
): Promise<Disposable> {
  const take = () =>
    lockInTime(lockFile(places, address), {}, { what: `PCI device ${address}`, signal: request.signal });
  try {
    return await take();
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error;
    makeStateDirs(places);
    return await take();
  }
}

export function isSameOwner(one: Owner, other: Owner): boolean {
  return ownerTag(one) === ownerTag(other);
}
