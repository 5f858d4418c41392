import type { PluginRequest } from '@amphipod/cni';
import { Attempts } from '../lib/attempts.ts';
import type { PluginHost } from '../lib/host.ts';
import { isStaleTag } from '../lib/owner.ts';
import { findAddresses, removeUnusedOwnersTable } from './address-owners.ts';
import { chooseBackend } from './backend.ts';
import { findConfig } from './config.ts';
import { removeAddresses } from './del.ts';
import { removeMarkedNftRules } from './nft-removal.ts';

/** Takes out the rules of attachments that are no longer valid. */
export async function gc(request: PluginRequest, host: PluginHost): Promise<void> {
  const { config, validAttachments = [] } = request;
  const isStale = (tag: string | undefined) => isStaleTag(tag, config.name, validAttachments);
  const attempts = new Attempts();
  await attempts.run(() => removeMarkedNftRules(host, isStale));
  await attempts.run(async () => {
    const stale = findAddresses(host.nft, isStale);
    if (stale.length > 0) {
      const config = findConfig(request);
      await removeAddresses(host, stale, { ...config, backend: await chooseBackend(config) });
    }
    removeUnusedOwnersTable(host.nft);
  });
  attempts.throwIfAny();
}
