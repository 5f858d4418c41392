import { closeSync, constants, openSync, readSync, rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { findProcess, isCode } from '@amphipod/linux';
import { CriError } from '../errors.ts';
import { runRuntime } from './run-runtime.ts';
import type { OciRuntime } from './runtimes.ts';

/**
 * Starts the user's process of a created container, whose init is `pid`: what `runc start ID` does. Hooks are run by that only.
 * @throws CriError with the runtime's text, or when the init ended instead
 */
export async function startCreated(
  runtime: OciRuntime,
  containerId: string,
  { pid, hasHooks = false }: { pid: number; hasHooks?: boolean | undefined },
): Promise<void> {
  if (runtime.name === 'runc' && !hasHooks)
    return openStartFifo(`${runtime.root}/${containerId}/exec.fifo`, pid);
  await runRuntime(runtime, ['start', containerId]);
}

/**
 * runc's init waits until somebody opens this fifo for reading, writes one byte and becomes the user's program. A
 * process just for that would cost as much as a third of the whole start (docs/adr/0005).
 */
async function openStartFifo(fifo: string, pid: number): Promise<void> {
  // Without waiting: an init that died will never open the other end.
  const fd = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    while (!hasByte(fd)) {
      if (findProcess(pid) === undefined) {
        throw new CriError(
          'failed-precondition',
          `start with runc: the init ${pid} ended before it was started`,
        );
      }
      await sleep(1);
    }
  } finally {
    closeSync(fd);
  }
  rmSync(fifo);
}

function hasByte(fd: number): boolean {
  try {
    return readSync(fd, Buffer.alloc(1), 0, 1, null) === 1;
  } catch (error) {
    if (isCode(error, 'EAGAIN')) return false;
    throw error;
  }
}
