import {
  type CheckNetworksRequest,
  CheckNetworksResponse,
  type CollectNetworksRequest,
  CollectNetworksResponse,
} from '../../gen/networks.ts';
import { checkNetworks as check, collectNetworks as collect } from '../../pods/further-networks/check.ts';
import type { Handler } from '../call.ts';
import { getSandbox } from '../lookup.ts';

/** CheckNetworks: CHECK of every network of a pod, or of all pods that are ready. */
export const checkNetworks: Handler<CheckNetworksRequest, CheckNetworksResponse> = async (
  context,
  { podSandboxId },
  { signal },
) => {
  const sandboxes =
    podSandboxId === ''
      ? context.store.sandboxes.list().filter(({ state }) => state === 'ready')
      : [getSandbox(context, podSandboxId)];
  return CheckNetworksResponse.create(await check(context, sandboxes, { signal }));
};

/** CollectNetworks: GC of every network. */
export const collectNetworks: Handler<CollectNetworksRequest, CollectNetworksResponse> = async (
  context,
  _request,
  { signal },
) => CollectNetworksResponse.create(await collect(context, { signal }));
