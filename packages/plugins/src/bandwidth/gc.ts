import type { PluginRequest } from '@amphipod/cni';
import { linkDel, linkList } from '@amphipod/netlink';
import { Attempts } from '../lib/attempts.ts';
import type { PluginHost } from '../lib/host.ts';
import { isStaleTag } from '../lib/owner.ts';

/** Removes the ifbs of attachments that are no longer valid. */
export async function gc(request: PluginRequest, { rtnl }: PluginHost): Promise<void> {
  const { config, validAttachments = [] } = request;
  const attempts = new Attempts();
  await attempts.run(async () => {
    for (const { alias, ifIndex } of linkList(rtnl, { kind: 'ifb' })) {
      if (!isStaleTag(alias, config.name, validAttachments)) continue;
      await attempts.run(() => linkDel(rtnl, ifIndex));
    }
  });
  attempts.throwIfAny();
}
