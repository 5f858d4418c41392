import { closeSync, constants, existsSync, openSync, writeSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isCode } from '@amphipod/linux';
import { containerPaths } from '../containers/paths.ts';
import { CriError } from '../errors.ts';
import type { ReopenContainerLogRequest, ReopenContainerLogResponse } from '../gen/api.ts';
import type { Handler } from './call.ts';
import { getRunningContainer } from './lookup.ts';

/** conmon's order to open its log anew (conmon(8), ctl fifo: message type 2). */
const reopenOrder = '2 0 0\n';

/** ReopenContainerLog: the new file exists when this returns; a container that does not run is refused. */
export const reopenContainerLog: Handler<ReopenContainerLogRequest, ReopenContainerLogResponse> = async (
  context,
  { containerId },
  { signal },
) => {
  const container = getRunningContainer(context, containerId);
  if (container.logPath === '')
    throw new CriError('failed-precondition', `container ${container.id}: has no log`);
  order(containerPaths(context.config, container.id).control);
  while (!existsSync(container.logPath)) await sleep(2, undefined, { signal });
  return {};
};

function order(control: string): void {
  let fd: number;
  try {
    // Never waits: without a reader there is no conmon any more.
    fd = openSync(control, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch (cause) {
    if (!isCode(cause, 'ENXIO', 'ENOENT')) throw cause;
    throw new CriError('failed-precondition', 'reopen log: the monitor of the container is gone', { cause });
  }
  writeSync(fd, reopenOrder);
  closeSync(fd);
}
