import type { UpdateRuntimeConfigRequest, UpdateRuntimeConfigResponse } from '../gen/api.ts';
import type { Handler } from './call.ts';

/** UpdateRuntimeConfig: the pod CIDR is the network plugins' business; they read it from the node. */
export const updateRuntimeConfig: Handler<UpdateRuntimeConfigRequest, UpdateRuntimeConfigResponse> = (
  { log },
  { runtimeConfig },
) => {
  log.info('runtime config', { podCidr: runtimeConfig?.networkConfig?.podCidr ?? '' });
  return {};
};
