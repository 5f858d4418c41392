import type { Container, ListContainersRequest, ListContainersResponse } from '../gen/api.ts';
import type { Container as StoredContainer } from '../store/records.ts';
import type { Handler } from './call.ts';
import { findContainer, findSandbox, matchesLabels } from './lookup.ts';
import { containerStatusMessage, criContainerState } from './messages.ts';

/** ListContainers: from memory; the filter's fields are ANDed. */
export const listContainers: Handler<ListContainersRequest, ListContainersResponse> = (
  context,
  { filter },
) => {
  const { id = '', state, podSandboxId = '', labelSelector = {} } = filter ?? {};
  const one = id === '' ? undefined : findContainer(context, id);
  const candidates = id === '' ? context.store.containers.list() : one === undefined ? [] : [one];
  const sandboxId = podSandboxId === '' ? undefined : (findSandbox(context, podSandboxId)?.id ?? '');
  const containers = candidates
    .filter((container) => container.state !== 'creating')
    .filter((container) => state === undefined || criContainerState(container.state) === state.state)
    .filter((container) => sandboxId === undefined || container.sandboxId === sandboxId)
    .filter((container) => matchesLabels(container.config.labels, labelSelector))
    .map(listItem);
  return { containers };
};

function listItem(container: StoredContainer): Container {
  const { id, metadata, image, imageRef, imageId, state, createdAt, labels, annotations } =
    containerStatusMessage(container);
  return {
    ...{ id, metadata, image, imageRef, imageId, state, createdAt, labels, annotations },
    podSandboxId: container.sandboxId,
  };
}
