/** Numbers of differences between the kernel and the wanted state that were mended, by kind. */
export type Mended = Record<'rules' | 'device' | 'address' | 'neighbour' | 'fdb' | 'route', number>;

/** Adds numbers to those of a look, or of all looks so far. */
export function addMended(sums: Partial<Mended>, more: Partial<Mended>): void {
  for (const [kind, count] of Object.entries(more) as [keyof Mended, number][]) {
    sums[kind] = (sums[kind] ?? 0) + count;
  }
}

/** All kinds together. */
export function totalMended(mended: Partial<Mended>): number {
  return Object.values(mended).reduce((sum, count) => sum + count, 0);
}
