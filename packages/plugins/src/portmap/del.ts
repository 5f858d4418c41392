import type { PluginRequest } from '@amphipod/cni';
import { Attempts } from '../lib/attempts.ts';
import type { PluginHost } from '../lib/host.ts';
import { ownerTag } from '../lib/owner.ts';
import { ownerOf } from '../lib/owner-of.ts';
import { readMappings } from './config.ts';
import { flushUdp } from './flush-udp.ts';
import { removeWhere } from './owned-elements.ts';

/** Takes this owner's ports out of the maps. Without mappings nothing was put in. */
export async function del(request: PluginRequest, host: PluginHost): Promise<void> {
  const mappings = readMappings(request);
  if (mappings.length === 0) return;
  const tag = ownerTag(ownerOf(request));
  const attempts = new Attempts();
  await attempts.run(() => removeWhere(host.nft, (comment) => comment === tag));
  await attempts.run(() => flushUdp(host.nft, mappings));
  attempts.throwIfAny();
}
