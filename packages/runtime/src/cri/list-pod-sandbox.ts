import { type ListPodSandboxRequest, type ListPodSandboxResponse, PodSandbox } from '../gen/api.ts';
import type { Sandbox } from '../store/records.ts';
import type { Handler } from './call.ts';
import { Encoded, EncodedRows } from './encoded.ts';
import { criSandboxState } from './messages.ts';
import { isEmptyFilter, selectSandboxes } from './select.ts';

const encodedRows = new EncodedRows<Sandbox>((sandbox) =>
  PodSandbox.encode(sandboxListItem(sandbox)).finish(),
);

/** ListPodSandbox: from memory, and only what changed is encoded anew. */
export const listPodSandbox: Handler<ListPodSandboxRequest, Encoded<ListPodSandboxResponse>> = (
  context,
  { filter },
) => {
  const { sandboxes } = context.store;
  const rows = () => selectSandboxes(context, filter);
  return new Encoded(
    isEmptyFilter(filter) ? encodedRows.all(sandboxes, rows) : encodedRows.list(sandboxes, rows()),
  );
};

/** A sandbox in ListPodSandbox and StreamPodSandboxes. */
export function sandboxListItem(sandbox: Sandbox): PodSandbox {
  return {
    id: sandbox.id,
    metadata: sandbox.config.metadata,
    state: criSandboxState(sandbox),
    createdAt: sandbox.createdAtNs,
    labels: sandbox.config.labels,
    annotations: sandbox.config.annotations,
    runtimeHandler: sandbox.runtimeHandler,
  };
}
