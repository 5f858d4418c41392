import { readFileSync } from 'node:fs';

/** Resident memory of a process. */
export function residentBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))![1]) * 1024;
}

/** The fields of proc_pid_stat(5) from the third on, which is the state. */
export function statFields(pid: number): string[] {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
}

/** The states of a process's children (proc(5), stat): `S`, `Z` … in the order of their pids. */
export function childrenOf(pid: number): string[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1')
    .split(' ')
    .filter((text) => text !== '')
    .map((child) => {
      try {
        return statFields(Number(child))[0]!;
      } catch {
        return 'gone';
      }
    });
}
