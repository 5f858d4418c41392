import { updateResources } from '../containers/update-resources.ts';
import { CriError } from '../errors.ts';
import type { UpdateContainerResourcesRequest, UpdateContainerResourcesResponse } from '../gen/api.ts';
import type { Handler } from './call.ts';
import { getContainer } from './lookup.ts';

/**
 * UpdateContainerResources: what is zero or empty stays as it is. ContainerStatus shows the result, also of a container
 * that does not run. @throws CriError not-found, invalid-argument, failed-precondition; nothing has changed then
 */
export const updateContainerResources: Handler<
  UpdateContainerResourcesRequest,
  UpdateContainerResourcesResponse
> = async (context, { containerId, linux }) => {
  const { id } = getContainer(context, containerId);
  if (linux === undefined) throw new CriError('invalid-argument', `update container ${id}: linux: missing`);
  await context.locks.run(id, () => updateResources(context, getContainer(context, id), linux));
  return {};
};
