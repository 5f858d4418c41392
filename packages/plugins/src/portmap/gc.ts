import type { PluginRequest } from '@amphipod/cni';
import type { PluginHost } from '../lib/host.ts';
import { isStaleTag } from '../lib/owner.ts';
import { removeUnusedHostPortTables, removeWhere } from './owned-elements.ts';

/** Takes out the ports of attachments that are no longer valid. */
export async function gc({ config, validAttachments = [] }: PluginRequest, host: PluginHost): Promise<void> {
  removeWhere(host.nft, (comment) => isStaleTag(comment, config.name, validAttachments));
  removeUnusedHostPortTables(host.nft);
}
