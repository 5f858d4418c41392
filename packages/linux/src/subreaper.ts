import koffi from 'koffi';
import { SyscallError } from './errors.ts';
import { childrenOf, findProcess } from './processes.ts';
import { isSpawnedChild } from './spawn.ts';

const libc = koffi.load('libc.so.6');
const fns = {
  prctl: libc.func(
    'int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)',
  ),
  waitid: libc.func('int waitid(int type, unsigned int id, void *info, int options)'),
  waitpid: libc.func('int waitpid(int pid, void *status, int options)'),
};

// include/uapi/linux/{prctl,wait}.h
const PR_SET_CHILD_SUBREAPER = 36;
const P_ALL = 0;
const WNOHANG = 1;
const WEXITED = 4;
const WNOWAIT = 0x01000000;
const siginfoBytes = 128;
/** Far longer than Node.js takes to reap a child of its own. */
const strangerAgeMs = 1000;

/**
 * From now on, descendants of this process whose parent ends become its children, so that their exit code can be had
 * (`adoptChild`). Those that nobody asks for are reaped: a monitor that went to the background, for one.
 */
export function becomeSubreaper(): Disposable {
  if (fns.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0) throw new SyscallError('prctl', koffi.errno());
  let suspects = new Set<number>();
  let timer: NodeJS.Timeout | undefined;
  const look = () => {
    timer = undefined;
    const dead = zombies();
    // Children of node:child_process are Node.js's to reap: it has had a whole turn of the loop and a second for it.
    for (const pid of dead) if (suspects.delete(pid)) fns.waitpid(pid, Buffer.alloc(4), WNOHANG);
    suspects = new Set(zombies());
    if (suspects.size > 0) schedule();
  };
  const schedule = () => {
    timer ??= setTimeout(() => setImmediate(look), strangerAgeMs).unref();
  };
  process.on('SIGCHLD', schedule);
  return {
    [Symbol.dispose]() {
      process.off('SIGCHLD', schedule);
      clearTimeout(timer);
      fns.prctl(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0);
    },
  };
}

/** Children that have ended and are not reaped, those of {@link spawnProcess} aside. */
function zombies(): number[] {
  const info = Buffer.alloc(siginfoBytes);
  // One call tells that there are none, which is nearly always so.
  if (fns.waitid(P_ALL, 0, info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.readInt32LE(16) === 0) return [];
  return childrenOf(process.pid).filter((pid) => !isSpawnedChild(pid) && findProcess(pid) === undefined);
}
