import { arch } from 'node:os';
import koffi from 'koffi';

const syscall = koffi.load('libc.so.6').func('syscall', 'long', ['long']);
const X32_SYSCALL_BIT = 0x40000000;
const SYS_getpid = 39;

/** True when the kernel takes system calls of the x32 ABI (syscall(2)); most kernels do not. */
export function supportsX32(): boolean {
  return arch() === 'x64' && Number(syscall(X32_SYSCALL_BIT | SYS_getpid)) > 0;
}
