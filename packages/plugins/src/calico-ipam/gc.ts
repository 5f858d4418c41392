import type { PluginRequest } from '@amphipod/cni';
import { withCalicoErrors } from '../calico/errors.ts';
import { openSession } from '../calico/session.ts';
import { handleOf } from '../calico/workload.ts';
import type { PluginHost } from '../lib/host.ts';

/** Gives back what attachments of this network and node hold that are no longer valid. */
export async function gc(request: PluginRequest, host: PluginHost): Promise<void> {
  const { config, validAttachments = [], signal } = request;
  const valid = new Set(validAttachments.map(({ containerID }) => handleOf(config.name, containerID)));
  await withCalicoErrors(async () => {
    const { store, node, ipam } = await openSession(request, host);
    const { listNodeHandles } = await import('@amphipod/fabric/calico');
    for (const handleId of await listNodeHandles({ store, signal }, config.name, node)) {
      if (!valid.has(handleId)) await ipam.releaseHandle(handleId, { signal });
    }
  });
}
