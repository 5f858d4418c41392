import { checkResources } from '../containers/check-resources.ts';
import type { UpdatePodSandboxResourcesRequest, UpdatePodSandboxResourcesResponse } from '../gen/api.ts';
import type { Handler } from './call.ts';
import { getSandbox } from './lookup.ts';

/**
 * UpdatePodSandboxResources: the kubelet says what it is about to give the pod's cgroup, which is its own to write. We
 * check the values, since an error keeps the kubelet from going on; there is nothing else of a pod that depends on them.
 * @throws CriError not-found, invalid-argument
 */
export const updatePodSandboxResources: Handler<
  UpdatePodSandboxResourcesRequest,
  UpdatePodSandboxResourcesResponse
> = (context, { podSandboxId, overhead, resources }) => {
  const { id } = getSandbox(context, podSandboxId);
  for (const given of [overhead, resources]) if (given !== undefined) checkResources(given, context.cgroups);
  context.log.info('pod resources', {
    sandbox: id,
    cpuShares: resources?.cpuShares,
    cpuQuota: resources?.cpuQuota,
    memoryLimitInBytes: resources?.memoryLimitInBytes,
  });
  return {};
};
