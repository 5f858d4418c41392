import { readFileSync } from 'node:fs';
import { isCode } from './errors.ts';

/** Identity of a process that survives pid reuse: the pid with its start time. */
export interface ProcessId {
  pid: number;
  /** Clock ticks after boot, field 22 of /proc/PID/stat (proc_pid_stat(5)). */
  startTicks: number;
}

/** The process with this pid, or undefined when there is none or it is a zombie. */
export function findProcess(pid: number): ProcessId | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ESRCH')) return undefined;
    throw error;
  }
  // The command in parentheses may hold spaces and parentheses itself.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
  return { pid, startTicks: Number(fields[19]) };
}

/** True while exactly this process runs. */
export function isAlive({ pid, startTicks }: ProcessId): boolean {
  return findProcess(pid)?.startTicks === startTicks;
}

/** Sends a signal (name or number) if exactly this process still runs. Returns false when it is gone. */
export function signalProcess(process_: ProcessId, signal: NodeJS.Signals | number): boolean {
  if (!isAlive(process_)) return false;
  return killQuietly(process_.pid, signal);
}

/** kill(2) where a process that is gone is no error; returns false then. */
export function killQuietly(pid: number, signal: NodeJS.Signals | number): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    if (isCode(error, 'ESRCH')) return false;
    throw error;
  }
}

/** `pid` and all its descendants, parents first (/proc/PID/task/TID/children; proc_pid_task(5)). */
export function processTree(pid: number): number[] {
  const tree = [pid];
  for (let i = 0; i < tree.length; i++) tree.push(...childrenOf(tree[i]!));
  return tree;
}

/** Children of the main thread of `pid`, zombies too; none when it is gone. */
export function childrenOf(pid: number): number[] {
  try {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1');
    return children.split(' ').flatMap((text) => (text === '' ? [] : [Number(text)]));
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ESRCH')) return [];
    throw error;
  }
}
