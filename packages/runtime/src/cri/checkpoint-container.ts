import { checkpointContainer as checkpoint, requireCriu } from '../containers/checkpoint.ts';
import { CriError } from '../errors.ts';
import type { CheckpointContainerRequest, CheckpointContainerResponse } from '../gen/api.ts';
import type { Handler } from './call.ts';
import { getRunningContainer } from './lookup.ts';

/** For a container with much memory; the kubelet sends 0 and waits for as long as its own request may take. */
const defaultTimeoutS = 600;

/**
 * CheckpointContainer: the state of a running container as an archive at `location`; `timeout` is in seconds, 0 for ours.
 * @throws CriError unimplemented without criu, not-found, failed-precondition, invalid-argument, deadline-exceeded
 */
export const checkpointContainer: Handler<CheckpointContainerRequest, CheckpointContainerResponse> = async (
  context,
  { containerId, location, timeout },
  call,
) => {
  requireCriu();
  const { id } = getRunningContainer(context, containerId);
  if (!location.startsWith('/'))
    throw new CriError('invalid-argument', `location ${JSON.stringify(location)}: must be absolute`);
  if (timeout < 0n) throw new CriError('invalid-argument', `timeout ${timeout}: must not be negative`);
  const limit = AbortSignal.timeout((Number(timeout) || defaultTimeoutS) * 1000);
  const signal = AbortSignal.any([limit, call.signal]);
  await context.locks.run(id, () =>
    checkpoint(context, getRunningContainer(context, id), { location, signal }),
  );
  return {};
};
