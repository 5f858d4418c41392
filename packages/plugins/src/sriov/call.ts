import type { PluginRequest } from '@amphipod/cni';
import type { PluginHost } from '../lib/host.ts';
import { lockInTime } from '../lib/lock-in-time.ts';
import { type Owner, ownerTag } from '../lib/owner.ts';
import type { Log } from './log.ts';
import type { Places } from './places.ts';
import { lockFile } from './records.ts';

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
  const what = `PCI device ${address}`;
  return await lockInTime(lockFile(places, address), {}, { what, signal: request.signal });
}

export function isSameOwner(one: Owner, other: Owner): boolean {
  return ownerTag(one) === ownerTag(other);
}
