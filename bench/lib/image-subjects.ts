import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { startAmphipod } from '../../test/cri/support/amphipod.ts';
import { startContainerd } from '../../test/cri/support/containerd.ts';
import { run } from '../../test/cri/support/program.ts';
import type { CriServer } from '../../test/cri/support/server.ts';
import type { Side } from './samples.ts';

export interface Pulled {
  ms: number;
  /** Most memory that the daemon had resident while it pulled. */
  peakMiB: number;
  /** Processor time that the daemon took for it: says more than `ms` on a machine that has other work. */
  cpuMs: number;
  version: string;
}

/**
 * Starts a daemon with an empty store in `dir`, pulls the images one after the other, and ends it. What it wrote stays: ext4 looks
 * through the inodes of files that have just been deleted, one by one, for every file that is made in the seconds after.
 */
export async function pullInto(
  side: Side,
  dir: string,
  { registry, references, nodeFlags }: { registry: string; references: string[]; nodeFlags: string[] },
): Promise<Pulled> {
  mkdirSync(dir);
  await using server = await start(side, dir, { registry, nodeFlags });
  const { pid } = server.program();
  // What others have written must not wait for the disk while this one is measured.
  await run(['sync', '-f', dir]);
  resetPeak(pid);
  const cpuBefore = cpuMs(pid);
  const begin = performance.now();
  for (const image of references) await server.cri.pullImage({ image: { image } }, { timeoutMs: 600_000 });
  const ms = performance.now() - begin;
  const [peakMiB, cpu] = [peakMemoryMiB(pid), cpuMs(pid) - cpuBefore];
  const { runtimeName, runtimeVersion } = await server.cri.version();
  return { ms, peakMiB, cpuMs: cpu, version: `${runtimeName} ${runtimeVersion.replace(/[~+].*/, '')}` };
}

function start(
  side: Side,
  dir: string,
  { registry, nodeFlags }: { registry: string; nodeFlags: string[] },
): Promise<CriServer> {
  return side === 'ours'
    ? startAmphipod({ dir, nodeFlags })
    : startContainerd({ dir, registries: [registry] });
}

/** proc_pid_clear_refs(5): 5 sets the peak to what is resident now. */
function resetPeak(pid: number): void {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
}

function peakMemoryMiB(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)![1]) / 1024;
}

/** User and system time of all threads (proc_pid_stat(5), fields 14 and 15), in ticks of 10 ms. */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]!.split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
