import { Container, type ListContainersRequest, type ListContainersResponse } from '../gen/api.ts';
import type { Container as StoredContainer } from '../store/records.ts';
import type { Handler } from './call.ts';
import { Encoded, EncodedRows } from './encoded.ts';
import { containerStatusMessage } from './messages.ts';
import { isEmptyFilter, selectContainers } from './select.ts';

const encodedRows = new EncodedRows<StoredContainer>((container) =>
  Container.encode(containerListItem(container)).finish(),
);

/** ListContainers: from memory, and only what changed is encoded anew. */
export const listContainers: Handler<ListContainersRequest, Encoded<ListContainersResponse>> = (
  context,
  { filter },
) => {
  const { containers } = context.store;
  const rows = () => selectContainers(context, filter);
  return new Encoded(
    isEmptyFilter(filter) ? encodedRows.all(containers, rows) : encodedRows.list(containers, rows()),
  );
};

/** A container in ListContainers and StreamContainers. */
export function containerListItem(container: StoredContainer): Container {
  const { id, metadata, image, imageRef, imageId, state, createdAt, labels, annotations } =
    containerStatusMessage(container);
  return {
    ...{ id, metadata, image, imageRef, imageId, state, createdAt, labels, annotations },
    podSandboxId: container.sandboxId,
  };
}
