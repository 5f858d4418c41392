import type { PluginRequest } from '@amphipod/cni';
import { Attempts } from '../lib/attempts.ts';
import type { PluginHost } from '../lib/host.ts';
import { isStaleTag } from '../lib/owner.ts';
import { removeConditionalPorts } from './conditions.ts';
import { findConfig } from './config.ts';
import { removeStaleIptablesPorts } from './iptables-change.ts';
import { removeUnusedHostPortTables, removeWhere } from './owned-elements.ts';

/** Takes out the ports of attachments that are no longer valid. */
export async function gc(request: PluginRequest, { nft }: PluginHost): Promise<void> {
  const { config, validAttachments = [] } = request;
  const isStale = (comment: string | undefined) => isStaleTag(comment, config.name, validAttachments);
  const attempts = new Attempts();
  await attempts.run(() => {
    removeWhere(nft, isStale);
    removeConditionalPorts(nft, isStale);
    removeUnusedHostPortTables(nft);
  });
  if (findConfig(request).backend === 'iptables') {
    await attempts.run(() => removeStaleIptablesPorts(config.name, validAttachments));
  }
  attempts.throwIfAny();
}
