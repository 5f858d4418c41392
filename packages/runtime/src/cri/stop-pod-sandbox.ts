import { stopContainerProcess } from '../containers/stop.ts';
import type { RuntimeContext } from '../context.ts';
import type { StopPodSandboxRequest, StopPodSandboxResponse } from '../gen/api.ts';
import { releaseSandbox } from '../pods/release.ts';
import type { Sandbox } from '../store/records.ts';
import type { Handler } from './call.ts';
import { findSandbox } from './lookup.ts';

/** How long the network plugins may take to give a pod's addresses back. */
const releaseTimeoutMs = 90_000;

/**
 * StopPodSandbox: kills what runs in the pod, then gives its network back. Idempotent; a call after a failed one tries
 * what failed again. An unknown id is fine.
 */
export const stopPodSandbox: Handler<StopPodSandboxRequest, StopPodSandboxResponse> = async (
  context,
  { podSandboxId },
) => {
  const sandbox = findSandbox(context, podSandboxId);
  if (sandbox !== undefined) await stopSandbox(context, sandbox);
  return {};
};

/** Not cut short by the client's deadline: a half-stopped pod is worth nothing (field case CNI-05). */
export async function stopSandbox(context: RuntimeContext, sandbox: Sandbox): Promise<void> {
  await context.locks.run(sandbox.id, async () => {
    const wasReady = sandbox.state === 'ready';
    context.store.sandboxes.update(sandbox, { state: 'notready' });
    const containers = context.store.containersOf(sandbox.id);
    await Promise.all(
      containers.map((container) =>
        // Behind a start that is under way.
        context.locks.run(container.id, () => stopContainerProcess(context, container, 0)),
      ),
    );
    if (wasReady) context.events.sandbox('stopped', sandbox);
    await releaseSandbox(context, sandbox, { signal: AbortSignal.timeout(releaseTimeoutMs) });
  });
}
