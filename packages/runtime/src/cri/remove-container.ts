import { removeContainerCompletely } from '../containers/remove.ts';
import type { RemoveContainerRequest, RemoveContainerResponse } from '../gen/api.ts';
import type { Handler } from './call.ts';
import { findContainer } from './lookup.ts';

/** RemoveContainer: kills it first when it runs. Idempotent; an unknown id is fine. */
export const removeContainer: Handler<RemoveContainerRequest, RemoveContainerResponse> = async (
  context,
  { containerId },
) => {
  const id = findContainer(context, containerId)?.id;
  if (id === undefined) return {};
  await context.locks.run(id, async () => {
    const container = findContainer(context, id);
    if (container !== undefined) await removeContainerCompletely(context, container);
  });
  return {};
};
