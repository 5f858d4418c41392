import { realpath, stat } from 'node:fs/promises';
import { runProgram } from '../oci/run-runtime.ts';

export interface HostPath {
  /** Without links. */
  path: string;
  isDirectory: boolean;
}

/** Threads of libuv's pool (16, bin/node24) that may wait for file systems which do not answer. */
const maxWaitingThreads = 4;

/**
 * Looks up the paths of volumes. They may be on a file system that does not answer, a network one whose server is gone: then
 * the caller gives up when it has had enough, the daemon and other pods go on (field case LIF-04).
 */
export class HostPaths {
  #waitingThreads = 0;

  /**
   * @param signal gives up; the lookup itself cannot be broken off, and stays until the file system answers
   * @throws ENOENT and the like; the signal's reason
   */
  async resolve(path: string, signal: AbortSignal): Promise<HostPath> {
    signal.throwIfAborted();
    const { promise: gaveUp, reject } = Promise.withResolvers<never>();
    const onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort);
    try {
      return await Promise.race([this.#lookUp(path), gaveUp]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  #lookUp(path: string): Promise<HostPath> {
    return this.#waitingThreads < maxWaitingThreads ? this.#lookUpInThread(path) : lookUpInProgram(path);
  }

  async #lookUpInThread(path: string): Promise<HostPath> {
    this.#waitingThreads++;
    try {
      const real = await realpath(path);
      return { path: real, isDirectory: (await stat(real)).isDirectory() };
    } finally {
      this.#waitingThreads--;
    }
  }
}

/** Slower by milliseconds, and whatever becomes of the program costs the daemon nothing. */
async function lookUpInProgram(path: string): Promise<HostPath> {
  const real = (await runProgram(['realpath', '--canonicalize-existing', '--zero', '--', path])).slice(0, -1);
  const type = await runProgram(['stat', '--format', '%F', '--', real]);
  return { path: real, isDirectory: type.trim() === 'directory' };
}
