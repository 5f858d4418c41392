import type { StreamContainersRequest, StreamContainersResponse } from '../gen/api.ts';
import { batches } from './batches.ts';
import type { StreamHandler } from './call.ts';
import { containerListItem } from './list-containers.ts';
import { selectContainers } from './select.ts';

/** StreamContainers: ListContainers in parts. */
export const streamContainers: StreamHandler<StreamContainersRequest, StreamContainersResponse> = function* (
  context,
  { filter },
) {
  for (const part of batches(selectContainers(context, filter)))
    yield { containers: part.map(containerListItem) };
};
