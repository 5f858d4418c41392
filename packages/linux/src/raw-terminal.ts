import koffi from 'koffi';
import { SyscallError } from './errors.ts';

const libc = koffi.load('libc.so.6');
const fns = {
  tcgetattr: libc.func('int tcgetattr(int fd, void *termios)'),
  tcsetattr: libc.func('int tcsetattr(int fd, int actions, const void *termios)'),
  cfmakeraw: libc.func('void cfmakeraw(void *termios)'),
};

const TCSADRAIN = 1;
/** Larger than struct termios (60). */
const termiosBytes = 128;

/**
 * Has a terminal pass every byte both ways as it is (`stty raw -echo`) until it is disposed of. Node.js's raw mode goes on
 * making "\r\n" of "\n" in the output.
 * @throws SyscallError ENOTTY when it is none
 */
export function rawTerminal(fd: number): Disposable {
  const before = Buffer.alloc(termiosBytes);
  if (fns.tcgetattr(fd, before) < 0) throw new SyscallError('tcgetattr', koffi.errno());
  const raw = Buffer.from(before);
  fns.cfmakeraw(raw);
  if (fns.tcsetattr(fd, TCSADRAIN, raw) < 0) throw new SyscallError('tcsetattr', koffi.errno());
  return {
    [Symbol.dispose]() {
      // A terminal that is gone needs nothing given back.
      fns.tcsetattr(fd, TCSADRAIN, before);
    },
  };
}
