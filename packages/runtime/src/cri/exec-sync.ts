import { execProcess } from '../containers/exec-process.ts';
import { containerPaths } from '../containers/paths.ts';
import { CriError } from '../errors.ts';
import type { ExecSyncRequest, ExecSyncResponse } from '../gen/api.ts';
import { execSync as runExec } from '../oci/exec.ts';
import { runtimeFor } from '../oci/runtimes.ts';
import type { Handler } from './call.ts';
import { getRunningContainer } from './lookup.ts';

/** ExecSync: the exit code is in the answer, a timeout is an error (deadline-exceeded). */
export const execSync: Handler<ExecSyncRequest, ExecSyncResponse> = async (
  context,
  { containerId, cmd, timeout },
  { signal },
) => {
  if (cmd.length === 0) throw new CriError('invalid-argument', 'cmd: empty');
  const container = getRunningContainer(context, containerId);
  const paths = containerPaths(context.config, container.id);
  return runExec(runtimeFor(context.runtimes, container.runtimeHandler), container.id, {
    process: execProcess(paths.spec, { cmd, tty: false }),
    directory: paths.bundle,
    timeoutMs: Number(timeout) * 1000,
    nullDevices: context.nullDevices,
    signal,
  });
};
