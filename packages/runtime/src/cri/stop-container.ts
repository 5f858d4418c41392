import { stopContainerProcess } from '../containers/stop.ts';
import type { StopContainerRequest, StopContainerResponse } from '../gen/api.ts';
import type { Handler } from './call.ts';
import { findContainer } from './lookup.ts';

/** StopContainer: `timeout` seconds of grace, 0 kills at once. Idempotent; an unknown id is fine. */
export const stopContainer: Handler<StopContainerRequest, StopContainerResponse> = async (
  context,
  { containerId, timeout },
) => {
  const container = findContainer(context, containerId);
  if (container === undefined) return {};
  // Wait for a start under way, but not for another stop: its grace may be longer than ours.
  await context.locks.run(container.id, async () => {});
  // Goes on when the client goes away (field case LIF-03).
  await stopContainerProcess(context, container, Number(timeout) * 1000);
  return {};
};
