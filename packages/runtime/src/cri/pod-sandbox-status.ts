import { nowNs } from '../clock.ts';
import type { RuntimeContext } from '../context.ts';
import type { PodSandboxStatusRequest, PodSandboxStatusResponse } from '../gen/api.ts';
import { sandboxPaths } from '../pods/paths.ts';
import type { Sandbox } from '../store/records.ts';
import type { Handler } from './call.ts';
import { getSandbox } from './lookup.ts';
import { containerStatusMessage, sandboxStatusMessage } from './messages.ts';

/** PodSandboxStatus. @throws CriError not-found */
export const podSandboxStatus: Handler<PodSandboxStatusRequest, PodSandboxStatusResponse> = (
  context,
  { podSandboxId, verbose },
) => {
  const sandbox = getSandbox(context, podSandboxId);
  return {
    status: sandboxStatusMessage(sandbox),
    info: verbose ? { info: verboseInfo(context, sandbox) } : {},
    containersStatuses: context.store
      .containersOf(sandbox.id)
      .filter(({ state }) => state !== 'creating')
      .map(containerStatusMessage),
    timestamp: nowNs(),
  };
};

function verboseInfo(context: RuntimeContext, sandbox: Sandbox): string {
  const { config, init, ...record } = sandbox;
  const info = {
    ...record,
    pid: init?.pid ?? 0,
    namespaces: sandbox.namespaces,
    paths: sandboxPaths(context.config, sandbox.id),
    config,
  };
  return JSON.stringify(info, (_, value) => (typeof value === 'bigint' ? String(value) : value));
}
