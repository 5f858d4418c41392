import type { PluginRequest } from '@amphipod/cni';
import { Attempts } from '../lib/attempts.ts';
import type { PluginHost } from '../lib/host.ts';
import { ipamCall } from '../lib/ipam.ts';
import { removeStaleVeths } from '../lib/remove-veth.ts';
import { withCalicoErrors } from './errors.ts';
import { type CalicoSession, openSession } from './session.ts';
import { handleOf } from './workload.ts';

/** Removes pairs and endpoints of attachments that are no longer valid, and lets IPAM do its own. */
export async function gc(request: PluginRequest, host: PluginHost): Promise<void> {
  const attempts = new Attempts();
  await withCalicoErrors(async () => {
    const session = await openSession(request, host);
    await attempts.run(() => removeStaleVeths(request, host));
    await attempts.run(() => removeStaleEndpoints(request, session));
    await attempts.run(() => ipamCall(request, 'GC'));
    attempts.throwIfAny();
  });
}

/**
 * An endpoint does not say which network it is of. Those count as this one's whose container holds addresses of it, and those
 * that have its profile.
 */
async function removeStaleEndpoints(request: PluginRequest, { store, node }: CalicoSession): Promise<void> {
  const { deleteResource, listNodeHandles, listResources } = await import('@amphipod/fabric/calico');
  const { config, validAttachments = [], signal } = request;
  const valid = new Set(validAttachments.map(({ containerID }) => containerID));
  const [{ resources }, handles] = await Promise.all([
    listResources(store, 'WorkloadEndpoint', { signal }),
    listNodeHandles({ store, signal }, config.name, node),
  ]);
  for (const { metadata, spec } of resources) {
    const { name, namespace, resourceVersion } = metadata;
    const { containerID, profiles = [] } = spec;
    if (spec.node !== node || containerID === undefined || valid.has(containerID)) continue;
    if (!handles.includes(handleOf(config.name, containerID)) && !profiles.includes(config.name)) continue;
    const id = { name, ...(namespace !== undefined && { namespace }) };
    await deleteResource(store, 'WorkloadEndpoint', { ...id, expected: BigInt(resourceVersion!), signal });
  }
}
