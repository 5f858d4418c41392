import type { DetachNetworkRequest, DetachNetworkResponse } from '../../gen/networks.ts';
import { detachNamedNetwork } from '../../pods/further-networks/detach.ts';
import type { Handler } from '../call.ts';
import { getSandbox } from '../lookup.ts';

/** DetachNetwork. @throws CriError not-found when the pod has no such network */
export const detachNetwork: Handler<DetachNetworkRequest, DetachNetworkResponse> = async (
  context,
  { podSandboxId, network },
  { signal },
) => {
  const sandbox = getSandbox(context, podSandboxId);
  await context.locks.run(sandbox.id, () => detachNamedNetwork(context, sandbox, { name: network, signal }));
  return {};
};
