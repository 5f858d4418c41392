import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { CniError } from '@amphipod/cni';
import { isCode, tapCreate } from '@amphipod/linux';
import type { Pod } from '../lib/host.ts';
import { refuseIfTaken } from '../lib/link-in-pod.ts';
import type { TapConfig } from './config.ts';

/** How SELinux is told, for this thread, which label the program that is started next runs with. */
const EXEC_LABEL = '/proc/thread-self/attr/exec';
const SPAWN_TIMEOUT_MS = 10_000;

/** Makes the tap in the pod. @throws CniError when the pod has an interface of that name */
export function createTap(pod: Pod, name: string, config: TapConfig): void {
  const { selinuxContext, multiQueue, owner, group } = config;
  try {
    if (selinuxContext !== undefined) {
      pod.run<void>(() => createLabelled(name, config, selinuxContext));
    } else {
      pod.run<void>(() =>
        tapCreate(name, {
          multiQueue,
          ...(owner !== undefined && { owner }),
          ...(group !== undefined && { group }),
        }),
      );
    }
  } catch (cause) {
    if (cause instanceof CniError) throw cause;
    if (isCode(cause, 'EBUSY')) refuseIfTaken(pod, name);
    throw new CniError('internal', `failed to create tap: ${(cause as Error).message}`, { cause });
  }
}

/** A tap has the label of the process that makes it, and a thread cannot change its own: so a program has to. */
function createLabelled(name: string, { multiQueue, owner, group }: TapConfig, label: string): void {
  setExecLabel(label);
  try {
    const args = ['tuntap', 'add', 'mode', 'tap', 'name', name];
    if (multiQueue) args.push('multi_queue');
    if (owner !== undefined) args.push('user', `${owner}`);
    if (group !== undefined) args.push('group', `${group}`);
    const { status, stderr, error } = spawnSync('ip', args, { encoding: 'utf8', timeout: SPAWN_TIMEOUT_MS });
    if (error !== undefined) throw error;
    if (status !== 0) throw new CniError('internal', `failed to run command ${stderr.trim()}`);
  } finally {
    setExecLabel('\n');
  }
}

/** A line feed takes the label away again. */
function setExecLabel(label: string): void {
  try {
    writeFileSync(EXEC_LABEL, label);
  } catch (cause) {
    throw new CniError('internal', `failed set socket label: ${(cause as Error).message}`, { cause });
  }
}
