import { CodedError, errnoInfo } from '@amphipod/linux';

/** Errnos that this package itself raises or tests for: include/uapi/asm-generic/errno*.h. */
export const ERRNO = {
  ENOENT: 2,
  ESRCH: 3,
  EINTR: 4,
  ENODEV: 19,
  EPROTO: 71,
  ERESTART: 85,
  EADDRNOTAVAIL: 99,
  ENOBUFS: 105,
} as const;

/** What the kernel said beside the errno (extended acknowledgement, NETLINK_EXT_ACK). */
export interface ExtendedAck {
  message?: string | undefined;
  /** Byte offset of the offending attribute in the request, header included. */
  offset?: number | undefined;
}

/** A request that the kernel refused: `add link "veth0": EEXIST (file already exists)`; `code` is the errno's name. */
export class NetlinkError extends CodedError {
  /** What was asked for, as a person would say it: `add link "veth0"`. */
  readonly op: string;
  /** Positive errno number. */
  readonly errno: number;
  /** The kernel's own words, where it has some. */
  readonly extack: string | undefined;
  /** Byte offset of the offending attribute in the request, header included. */
  readonly offset: number | undefined;

  constructor(op: string, errno: number, extack: ExtendedAck = {}) {
    const [name, text] = errnoInfo(errno);
    super(name, `${op}: ${name} (${text})${extack.message === undefined ? '' : `: ${extack.message}`}`);
    this.op = op;
    this.errno = errno;
    this.extack = extack.message;
    this.offset = extack.offset;
  }
}

/** An answer of the kernel that does not hold together; code EPROTO. */
export function malformed(what: string): NetlinkError {
  return new NetlinkError('read netlink message', ERRNO.EPROTO, { message: what });
}
