// What the workers of the IPAM test write down.
import { readFileSync } from 'node:fs';

function linesOf(journal: string): string[] {
  try {
    return readFileSync(journal, 'utf8').split('\n');
  } catch {
    return [];
  }
}

/** Operations that were done. */
export function countOf(journal: string): number {
  return linesOf(journal).filter((line) => line === '. ').length;
}

/** Handles with their addresses that were taken and not given back. */
export function readHeld(journals: readonly string[]): Map<string, string> {
  const held = new Map<string, string>();
  for (const line of journals.flatMap(linesOf)) {
    const [sign, handleId, ip] = line.split(' ');
    if (sign === '+') held.set(handleId!, ip!);
    if (sign === '-') held.delete(handleId!);
  }
  return held;
}
