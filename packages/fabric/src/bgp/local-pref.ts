/** A route's priority travels as `MAX - priority`: what is preferred less has the larger priority. */
const MAX = 2_147_483_647;

/** Preferences above carry a priority; those below are a router's own, such as the usual 100. */
export const LEAST_CARRIED = 1_073_741_823;

/** The BGP local preference that carries a priority from node to node, as Calico has it. */
export function localPrefOf(priority: number): number {
  return MAX - priority;
}

/** The expression of the filter language for either of the two. */
export function complementOf(expression: string): string {
  return `${MAX} - ${expression}`;
}
