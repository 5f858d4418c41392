import type { ListMetricDescriptorsRequest, ListMetricDescriptorsResponse } from '../gen/api.ts';
import type { Handler } from './call.ts';

/** ListMetricDescriptors: cAdvisor's metrics, those that this machine can give; the same while the daemon lives. */
export const listMetricDescriptors: Handler<ListMetricDescriptorsRequest, ListMetricDescriptorsResponse> = ({
  metrics,
}) => ({ descriptors: metrics.descriptors });
