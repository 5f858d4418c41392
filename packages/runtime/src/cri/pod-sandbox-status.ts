import { nowNs } from '../clock.ts';
import type { RuntimeContext } from '../context.ts';
import type { PodSandboxStatus, PodSandboxStatusRequest, PodSandboxStatusResponse } from '../gen/api.ts';
import { networkStatus, STATUS_ANNOTATION } from '../pods/further-networks/network-status.ts';
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
    status: withNetworks(context, sandbox),
    info: verbose ? { info: verboseInfo(context, sandbox), networks: networksOf(context, sandbox) } : {},
    containersStatuses: context.store
      .containersOf(sandbox.id)
      .filter(({ state }) => state !== 'creating')
      .map(containerStatusMessage),
    timestamp: nowNs(),
  };
};

/** A pod that has more than one network has their state as an annotation more, as tools that look at pods expect it. */
function withNetworks(context: RuntimeContext, sandbox: Sandbox): PodSandboxStatus {
  const status = sandboxStatusMessage(sandbox);
  if (sandbox.furtherNetworks === undefined) return status;
  const annotations = { ...status.annotations, [STATUS_ANNOTATION]: networksOf(context, sandbox) };
  return { ...status, annotations };
}

function networksOf(context: RuntimeContext, sandbox: Sandbox): string {
  return JSON.stringify(networkStatus(context, sandbox));
}

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
