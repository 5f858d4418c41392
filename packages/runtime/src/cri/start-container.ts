import { startContainerProcess, startErrorReason } from '../containers/start.ts';
import { CriError } from '../errors.ts';
import type { StartContainerRequest, StartContainerResponse } from '../gen/api.ts';
import type { Handler } from './call.ts';
import { getContainer, getSandbox } from './lookup.ts';

/** StartContainer. A container whose start failed may be started again. @throws CriError not-found, failed-precondition */
export const startContainer: Handler<StartContainerRequest, StartContainerResponse> = async (
  context,
  { containerId },
) => {
  const { id } = getContainer(context, containerId);
  await context.locks.run(id, async () => {
    const container = getContainer(context, id);
    const neverRan = container.state === 'exited' && container.reason === startErrorReason;
    if (container.state !== 'created' && !neverRan) {
      throw new CriError('failed-precondition', `start container ${id}: is ${container.state}, not created`);
    }
    if (getSandbox(context, container.sandboxId).state !== 'ready') {
      throw new CriError(
        'failed-precondition',
        `start container ${id}: sandbox ${container.sandboxId} is not ready`,
      );
    }
    await startContainerProcess(context, container);
  });
  return {};
};
