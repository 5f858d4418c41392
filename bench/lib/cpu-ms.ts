import { statFields } from '../../test/cri/support/proc.ts';

/** User and system time of all threads of a process so far (proc_pid_stat(5), fields 14 and 15), in ticks of 10 ms. */
export function cpuMs(pid: number): number {
  const fields = statFields(pid);
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
