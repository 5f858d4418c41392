import { setTimeout as sleep } from 'node:timers/promises';
import { residentBytes } from '../../test/cri/support/proc.ts';
import { makePods, removePods } from './cri-poll.ts';
import type { Subject } from './cri-subjects.ts';
import { inParallel } from './in-parallel.ts';
import { type Samples, timed } from './samples.ts';

/** What a cycle is made of: one pod with a running container, and its removal. */
export interface PodCycle<Pod> {
  up(subject: Subject): Promise<Pod>;
  down(subject: Subject, pod: Pod): Promise<void>;
}

/** How long the daemon, killed with 500 running pods, takes from its start to its first answer. */
export async function restartedWith500(subjects: Subject[], samples: Samples): Promise<void> {
  for (const subject of subjects) {
    const pods = await makePods(subject, 500, { start: true });
    for (let i = 0; i < 5; i++) {
      await subject.server.kill();
      samples.add('startWith500', subject.side, (await timed(() => subject.server.start())).ms);
    }
    await removePods(subject, pods);
  }
}

/** Resident memory of the daemon with 100 running pods. */
export async function hundredPods<Pod>(
  subjects: Subject[],
  samples: Samples,
  { up, down }: PodCycle<Pod>,
): Promise<void> {
  for (const subject of subjects) {
    const pods = await inParallel(4, Array.from({ length: 100 }), () => up(subject));
    samples.add('rssDaemon100', subject.side, await restingMiB(subject), 'MiB');
    await inParallel(4, pods, (pod) => down(subject, pod));
  }
}

/** Resident memory of the daemon after 200 cycles, when all of its code has run, and after 2,000 more. */
export async function twoThousandCycles<Pod>(
  subjects: Subject[],
  samples: Samples,
  { up, down }: PodCycle<Pod>,
): Promise<void> {
  for (const subject of subjects) {
    const cycle = async () => {
      await down(subject, await up(subject));
    };
    const cycles = (count: number) => inParallel(4, Array.from({ length: count }), cycle);
    await cycles(200);
    samples.add('rssDaemonCycles200', subject.side, await restingMiB(subject), 'MiB');
    await cycles(2000);
    samples.add('rssDaemonCycles2200', subject.side, await restingMiB(subject), 'MiB');
  }
}

/** Once the daemon has let go of what the work before took. */
async function restingMiB({ server }: Subject): Promise<number> {
  await sleep(5000);
  return residentBytes(server.program().pid) / 2 ** 20;
}
