import { readFileSync } from 'node:fs';
import { isCode } from '@amphipod/linux';
import { containerPaths } from '../containers/paths.ts';
import type { RuntimeContext } from '../context.ts';
import type { ContainerStatusRequest, ContainerStatusResponse } from '../gen/api.ts';
import type { Container } from '../store/records.ts';
import type { Handler } from './call.ts';
import { getContainer } from './lookup.ts';
import { containerStatusMessage } from './messages.ts';

/** ContainerStatus; verbose adds pid, paths and the OCI configuration. @throws CriError not-found */
export const containerStatus: Handler<ContainerStatusRequest, ContainerStatusResponse> = (
  context,
  { containerId, verbose },
) => {
  const container = getContainer(context, containerId);
  return {
    status: containerStatusMessage(container),
    info: verbose ? { info: verboseInfo(context, container) } : {},
  };
};

function verboseInfo(context: RuntimeContext, container: Container): string {
  const paths = containerPaths(context.config, container.id);
  const info = {
    sandboxID: container.sandboxId,
    pid: container.process?.pid ?? 0,
    cgroupPath: container.cgroupPath,
    paths,
    runtimeSpec: readJson(paths.spec),
    config: container.config,
  };
  return JSON.stringify(info, (_, value) => (typeof value === 'bigint' ? String(value) : value));
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}
