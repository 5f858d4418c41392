/** What can be chosen from. */
export interface AllocationChoice {
  available: readonly string[];
  /** To be among those chosen. */
  mustInclude: readonly string[];
  size: number;
}

/**
 * Chooses devices that are on one NUMA node where that can be: the node of those that must be among them, else the one that has just
 * enough, so that large groups stay whole for who needs them. @param nodeOf undefined: it is as near to all
 */
export function preferredAllocation(
  { available, mustInclude, size }: AllocationChoice,
  nodeOf: (id: string) => number | undefined,
): string[] {
  const chosen = [...mustInclude];
  const free = available.filter((id) => !chosen.includes(id)).sort();
  while (chosen.length < size && free.length > 0) {
    const node = bestNode(chosen, free, { nodeOf, wanted: size - chosen.length });
    const at = free.findIndex((id) => nodeOf(id) === node);
    chosen.push(...free.splice(Math.max(at, 0), 1));
  }
  return chosen.slice(0, Math.max(size, mustInclude.length));
}

function bestNode(
  chosen: readonly string[],
  free: readonly string[],
  { nodeOf, wanted }: { nodeOf: (id: string) => number | undefined; wanted: number },
): number | undefined {
  const used = chosen
    .map(nodeOf)
    .find((node) => node !== undefined && free.some((id) => nodeOf(id) === node));
  if (used !== undefined) return used;
  const counts = new Map<number | undefined, number>();
  for (const id of free) counts.set(nodeOf(id), (counts.get(nodeOf(id)) ?? 0) + 1);
  const nodes = [...counts].sort(([, one], [, other]) => one - other);
  return (nodes.find(([, count]) => count >= wanted) ?? nodes.at(-1))?.[0];
}
