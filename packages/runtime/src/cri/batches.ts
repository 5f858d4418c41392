/** Items of one message of a Stream… RPC: far below any limit on messages, far above the cost of one. */
const batchSize = 100;

/** Cuts a list into messages; nothing is sent for an empty one. */
export function* batches<T>(items: readonly T[]): Generator<T[]> {
  for (let i = 0; i < items.length; i += batchSize) yield items.slice(i, i + batchSize);
}
