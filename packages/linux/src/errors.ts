import { getSystemErrorMap } from 'node:util';

/**
 * An error with a `code` that is part of the API (docs/errors.md lists every code); the message is for people.
 * Callers test with {@link isCode}, not with instanceof, so that two loaded copies of a package agree.
 */
export class CodedError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
  }
}

/** A failed system call; the same shape as the errors of node:fs. */
export class SyscallError extends CodedError {
  /** Positive errno number. */
  readonly errno: number;
  readonly syscall: string;
  readonly path: string | undefined;

  constructor(syscall: string, errno: number, path?: string) {
    const [name, text] = errnoInfo(errno);
    const subject = path === undefined ? '' : ` ${JSON.stringify(path)}`;
    super(name, `${syscall}${subject}: ${name} (${text})`);
    this.errno = errno;
    this.syscall = syscall;
    this.path = path;
  }
}

/** Name and text of a positive errno: `[ 'ENOENT', 'no such file or directory' ]`. */
export function errnoInfo(errno: number): [name: string, text: string] {
  return getSystemErrorMap().get(-errno) ?? extraErrnos[errno] ?? [`E${errno}`, 'unknown error'];
}

// Errnos of include/uapi/asm-generic/errno.h that libuv has no name for.
const extraErrnos: Record<number, [string, string]> = {
  15: ['ENOTBLK', 'block device required'],
  35: ['EDEADLK', 'resource deadlock avoided'],
  61: ['ENODATA', 'no data available'],
  105: ['ENOBUFS', 'no buffer space available'],
};

/** True when `error` carries this `code`; works for our errors and for those of Node.js. */
export function isCode(error: unknown, ...codes: string[]): boolean {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === 'string' && codes.includes(code);
}
