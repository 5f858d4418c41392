import { removeContainerCompletely } from '../containers/remove.ts';
import type { RemovePodSandboxRequest, RemovePodSandboxResponse } from '../gen/api.ts';
import { removeOwnCgroup } from '../pods/release.ts';
import type { Handler } from './call.ts';
import { findSandbox } from './lookup.ts';
import { stopSandbox } from './stop-pod-sandbox.ts';

/** RemovePodSandbox: stops the pod, removes its containers, then the pod. Idempotent; an unknown id is fine. */
export const removePodSandbox: Handler<RemovePodSandboxRequest, RemovePodSandboxResponse> = async (
  context,
  { podSandboxId },
) => {
  const sandbox = findSandbox(context, podSandboxId);
  if (sandbox === undefined) return {};
  await stopSandbox(context, sandbox);
  await context.locks.run(sandbox.id, async () => {
    for (const container of context.store.containersOf(sandbox.id)) {
      await context.locks.run(container.id, () => removeContainerCompletely(context, container));
    }
    await removeOwnCgroup(context, sandbox);
    context.events.sandbox('deleted', sandbox);
    context.store.sandboxes.remove(sandbox.id);
    context.sandboxNames.release(sandbox.name);
  });
  return {};
};
