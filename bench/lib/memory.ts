import { readFileSync } from 'node:fs';
import { isCode, processTree } from '@amphipod/linux';

/**
 * Proportional set size of a set of processes in MiB (proc_pid_smaps(5), smaps_rollup): memory that several of them
 * share is counted once. Processes that are gone count nothing.
 */
export function pssMiB(pids: Iterable<number>): number {
  let kib = 0;
  for (const pid of new Set(pids)) {
    try {
      const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
      kib += Number(/^Pss:\s+(\d+) kB$/m.exec(text)![1]);
    } catch (error) {
      if (!isCode(error, 'ENOENT', 'ESRCH')) throw error;
    }
  }
  return kib / 1024;
}

/** `roots` and their descendants, except `others` (the containers' own processes). */
export function processesOf(roots: number[], others: number[]): number[] {
  const excluded = new Set(others);
  return [...new Set(roots.flatMap(processTree))].filter((pid) => !excluded.has(pid));
}
