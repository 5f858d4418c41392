import type { RuntimeContext } from '../context.ts';
import { CriError } from '../errors.ts';
import type { PortForwardRequest, PortForwardResponse } from '../gen/api.ts';
import { sandboxPaths } from '../pods/paths.ts';
import type { Sandbox } from '../store/records.ts';
import { connectInPod } from '../streaming/connect-in-pod.ts';
import type { Handler } from './call.ts';
import { getSandbox } from './lookup.ts';

/** PortForward: a URL over which ports of the pod's localhost can be reached. */
export const portForward: Handler<PortForwardRequest, PortForwardResponse> = (
  context,
  { podSandboxId, port: ports },
) => {
  const wrong = ports.find((port) => port < 1 || port > 65_535);
  if (wrong !== undefined)
    throw new CriError('invalid-argument', `port: ${wrong} is not between 1 and 65535`);
  const { id } = getReadySandbox(context, podSandboxId);
  const url = context.streaming.urlFor({
    kind: 'portforward',
    ports,
    async connect(port) {
      const sandbox = getReadySandbox(context, id);
      const isOnNode = sandbox.namespaces.network === 'node';
      return connectInPod(isOnNode ? undefined : sandboxPaths(context.config, id).net, port);
    },
  });
  return { url };
};

function getReadySandbox(context: RuntimeContext, id: string): Sandbox {
  const sandbox = getSandbox(context, id);
  if (sandbox.state === 'ready') return sandbox;
  throw new CriError('failed-precondition', `sandbox ${sandbox.id}: is not ready`);
}
