import { CriError } from '../../errors.ts';
import type { AttachNetworksRequest, AttachNetworksResponse } from '../../gen/networks.ts';
import { attachFurtherNetworks } from '../../pods/further-networks/attach.ts';
import { detachNamedNetwork } from '../../pods/further-networks/detach.ts';
import { networkStatus } from '../../pods/further-networks/network-status.ts';
import type { Handler } from '../call.ts';
import { getSandbox } from '../lookup.ts';

/** How long what a failed attachment left may take to be taken away. */
const UNDO_TIMEOUT_MS = 90_000;

/** AttachNetworks: all of the networks, or none of them. @throws CriError; CniError */
export const attachNetworks: Handler<AttachNetworksRequest, AttachNetworksResponse> = async (
  context,
  { podSandboxId, networks },
  { signal },
) => {
  const sandbox = getSandbox(context, podSandboxId);
  await context.locks.run(sandbox.id, async () => {
    if (sandbox.state !== 'ready' || sandbox.namespaces.network !== 'pod') {
      const why = sandbox.state === 'ready' ? 'it is on the network of the node' : 'it is not ready';
      throw new CriError('failed-precondition', `attach networks to sandbox ${sandbox.id}: ${why}`);
    }
    const before = new Set(sandbox.furtherNetworks?.map(({ ifName }) => ifName));
    try {
      await attachFurtherNetworks(context, sandbox, { text: networks, signal });
    } catch (error) {
      const undo = AbortSignal.timeout(UNDO_TIMEOUT_MS);
      const added = (sandbox.furtherNetworks ?? []).filter(({ ifName }) => !before.has(ifName));
      for (const { ifName } of added.toReversed()) {
        // What stays is in the pod's record, for the next detachment or the end of the pod.
        await detachNamedNetwork(context, sandbox, { name: ifName, signal: undo }).catch((undoError: Error) =>
          context.log.error('undo of attach networks', { sandbox: sandbox.id, error: undoError.message }),
        );
      }
      throw error;
    }
  });
  return { status: JSON.stringify(networkStatus(context, sandbox)) };
};
