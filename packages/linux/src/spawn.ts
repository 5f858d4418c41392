import koffi from 'koffi';
import { SyscallError } from './errors.ts';

const libc = koffi.load('libc.so.6');
const fns = {
  posix_spawn: libc.func(
    'int posix_spawn(void *pid, const char *path, void *actions, void *attributes, const char **argv, const char **envp)',
  ),
  actions_init: libc.func('int posix_spawn_file_actions_init(void *actions)'),
  actions_adddup2: libc.func('int posix_spawn_file_actions_adddup2(void *actions, int fd, int target)'),
  actions_addchdir: libc.func('int posix_spawn_file_actions_addchdir_np(void *actions, const char *path)'),
  actions_destroy: libc.func('int posix_spawn_file_actions_destroy(void *actions)'),
  attr_init: libc.func('int posix_spawnattr_init(void *attributes)'),
  attr_setflags: libc.func('int posix_spawnattr_setflags(void *attributes, short flags)'),
  attr_setsigdefault: libc.func('int posix_spawnattr_setsigdefault(void *attributes, void *set)'),
  attr_setsigmask: libc.func('int posix_spawnattr_setsigmask(void *attributes, void *set)'),
  attr_destroy: libc.func('int posix_spawnattr_destroy(void *attributes)'),
  pipe2: libc.func('int pipe2(void *fds, int flags)'),
  waitpid: libc.func('int waitpid(int pid, void *status, int options)'),
};

const POSIX_SPAWN_SETSIGDEF = 0x04;
const POSIX_SPAWN_SETSIGMASK = 0x08;
const O_CLOEXEC = 0o2000000;
const WNOHANG = 1;
// Larger than posix_spawn_file_actions_t (80) and posix_spawnattr_t (336) of glibc, and than sigset_t (128).
const structBytes = 512;

export interface SpawnOptions {
  env: Record<string, string>;
  cwd?: string;
  /** Descriptors that the child gets as 0, 1, 2, …: all above those numbers, or in their own place. */
  fds: readonly number[];
}

/** A child process of {@link spawnProcess}. */
export interface SpawnedProcess {
  readonly pid: number;
  /** Resolves to the exit code, 128 + signal for one that a signal ended. */
  readonly exited: Promise<number>;
}

/**
 * Starts a program without copying this process: posix_spawn, where node:child_process forks, which takes milliseconds of
 * the main thread in a process of our size.
 * @throws SyscallError of the failed exec
 */
export function spawnProcess(path: string, args: readonly string[], options: SpawnOptions): SpawnedProcess {
  const pid = posixSpawn(path, [path, ...args], options);
  return { pid, exited: new Promise((resolve) => watchChild(pid, true, resolve)) };
}

/**
 * Waits for a process that has become a child of this one because its own parent ended (`becomeSubreaper`).
 * @returns its exit code, 128 + signal when a signal ended it; 255 when it is no child
 */
export function adoptChild(pid: number): Promise<number> {
  return new Promise((resolve) => {
    watchChild(pid, false, resolve);
    // It may have ended before anybody watched.
    reapChildren();
  });
}

/** True while somebody waits for this child. */
export function isSpawnedChild(pid: number): boolean {
  return children.has(pid);
}

// Children of this process are known to the whole process, so this is where module state is right.
const children = new Map<number, { onExit: (exitCode: number) => void; isAwaited: boolean }>();
let sweep: NodeJS.Timeout | undefined;

/** Tells of the end of `pid` once. Signals of several ends may come as one: each time all children are asked for. */
function watchChild(pid: number, isAwaited: boolean, onExit: (exitCode: number) => void): void {
  children.set(pid, { onExit, isAwaited });
  if (sweep === undefined) {
    process.on('SIGCHLD', reapChildren);
    // Would find an end whose signal was lost.
    sweep = setInterval(reapChildren, 1000);
  }
  holdProcess();
}

/** Keeps this process alive for its own children; adopted ones may outlive it. */
function holdProcess(): void {
  if (children.values().some(({ isAwaited }) => isAwaited)) sweep?.ref();
  else sweep?.unref();
}

function reapChildren(): void {
  const status = Buffer.alloc(4);
  for (const [pid, { onExit }] of children) {
    const result = fns.waitpid(pid, status, WNOHANG);
    if (result === 0) continue;
    children.delete(pid);
    // Below zero: somebody else has reaped it, and the code is lost.
    onExit(result < 0 ? 255 : exitCodeOf(status.readInt32LE(0)));
  }
  if (children.size > 0) {
    holdProcess();
    return;
  }
  process.off('SIGCHLD', reapChildren);
  clearInterval(sweep);
  sweep = undefined;
}

/** wait(2): the low seven bits are the signal, the next byte the exit code. */
function exitCodeOf(status: number): number {
  const signal = status & 0x7f;
  return signal === 0 ? (status >> 8) & 0xff : 128 + signal;
}

/** A pipe; both ends are closed on exec. */
export function pipe(): { read: number; write: number } {
  const fds = Buffer.alloc(8);
  check('pipe2', fns.pipe2(fds, O_CLOEXEC) === 0 ? 0 : koffi.errno());
  return { read: fds.readInt32LE(0), write: fds.readInt32LE(4) };
}

function posixSpawn(path: string, argv: readonly string[], { env, cwd, fds }: SpawnOptions): number {
  const displaced = fds.find((fd, target) => fd < fds.length && fd !== target);
  if (displaced !== undefined)
    throw new RangeError(`spawn ${path}: descriptor ${displaced} would be overwritten`);
  const actions = Buffer.alloc(structBytes);
  const attributes = Buffer.alloc(structBytes);
  const pid = Buffer.alloc(4);
  fns.actions_init(actions);
  fns.attr_init(attributes);
  try {
    // Node.js ignores SIGPIPE and blocks none; the child starts with everything at its default.
    fns.attr_setsigdefault(attributes, Buffer.alloc(structBytes, 0xff));
    fns.attr_setsigmask(attributes, Buffer.alloc(structBytes));
    fns.attr_setflags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    fds.forEach((fd, target) => {
      fns.actions_adddup2(actions, fd, target);
    });
    if (cwd !== undefined) fns.actions_addchdir(actions, cwd);
    const environment = Object.entries(env).map(([key, value]) => `${key}=${value}`);
    check(
      'posix_spawn',
      fns.posix_spawn(pid, path, actions, attributes, [...argv, null], [...environment, null]),
      path,
    );
  } finally {
    fns.actions_destroy(actions);
    fns.attr_destroy(attributes);
  }
  return pid.readInt32LE(0);
}

function check(syscall: string, errno: number, path?: string): void {
  if (errno !== 0) throw new SyscallError(syscall, errno, path);
}
