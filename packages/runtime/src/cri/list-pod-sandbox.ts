import type { ListPodSandboxRequest, ListPodSandboxResponse, PodSandbox } from '../gen/api.ts';
import type { Handler } from './call.ts';
import { findSandbox, matchesLabels } from './lookup.ts';
import { criSandboxState } from './messages.ts';

/** ListPodSandbox: from memory; the filter's fields are ANDed. */
export const listPodSandbox: Handler<ListPodSandboxRequest, ListPodSandboxResponse> = (
  context,
  { filter },
) => {
  const { id = '', state, labelSelector = {} } = filter ?? {};
  const one = id === '' ? undefined : findSandbox(context, id);
  const candidates = id === '' ? context.store.sandboxes.list() : one === undefined ? [] : [one];
  const items = candidates
    .filter((sandbox) => sandbox.state !== 'creating')
    .filter((sandbox) => state === undefined || criSandboxState(sandbox) === state.state)
    .filter((sandbox) => matchesLabels(sandbox.config.labels, labelSelector))
    .map(
      (sandbox): PodSandbox => ({
        id: sandbox.id,
        metadata: sandbox.config.metadata,
        state: criSandboxState(sandbox),
        createdAt: sandbox.createdAtNs,
        labels: sandbox.config.labels,
        annotations: sandbox.config.annotations,
        runtimeHandler: sandbox.runtimeHandler,
      }),
    );
  return { items };
};
