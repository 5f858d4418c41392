import { channel } from 'node:diagnostics_channel';
import { isCode } from '@amphipod/linux';
import { AttributeReader, align4, type MessageWriter } from './attributes.ts';
import { ERRNO, type ExtendedAck, malformed, NetlinkError } from './errors.ts';

// include/uapi/linux/netlink.h
export const NLM_F = {
  REQUEST: 0x1,
  MULTI: 0x2,
  ACK: 0x4,
  ECHO: 0x8,
  DUMP_INTR: 0x10,
  DUMP: 0x300,
  REPLACE: 0x100,
  EXCL: 0x200,
  CREATE: 0x400,
  APPEND: 0x800,
} as const;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLMSG_NOOP = 1;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLMSGERR_ATTR_MSG = 1;
const NLMSGERR_ATTR_OFFS = 2;
const HEADER = 16;
const DUMP_TRIES = 20;

/** What a connection needs of a socket; `NetlinkSocket` is one, a fake kernel for tests is another. */
export interface NetlinkTransport {
  /** Hands one datagram over; the kernel has worked on it when this returns. */
  send(datagram: Buffer): void;
  /** The next datagram, or undefined when none is there. */
  receiveNow(): Buffer | undefined;
  close(): void;
}

/** One netlink message as it came; `payload` is what follows struct nlmsghdr. */
export interface NetlinkMessage {
  type: number;
  flags: number;
  sequence: number;
  payload: Buffer;
}

/** A request: a writer that holds one begun message, and the words for it in errors. */
export interface NetlinkRequest {
  /** As in `add link "veth0"`. */
  op: string;
  message: MessageWriter;
}

/** Gives what is told of each item of a list; called once more when the list is told anew. */
export type Begin<T> = () => (item: T) => void;

/** The list that is told. */
export function collect<T>(each: (begin: Begin<T>) => void): T[] {
  let items: T[] = [];
  each(() => {
    items = [];
    return (item) => items.push(item);
  });
  return items;
}

/** What subscribers of `node:diagnostics_channel` "amphipod:netlink" get for each datagram. */
export interface NetlinkTrace {
  direction: 'send' | 'receive';
  op: string;
  datagram: Buffer;
}

const trace = channel('amphipod:netlink');

/** Tells the diagnostics channel of a datagram; costs nothing when nobody listens. */
export function traceDatagram(direction: NetlinkTrace['direction'], op: string, datagram: Buffer): void {
  if (trace.hasSubscribers) trace.publish({ direction, op, datagram } satisfies NetlinkTrace);
}

/**
 * A connection to one netlink family: one request at a time, answered before `execute` returns.
 * The kernel works on a request inside send(2), so its answer is there at once and nothing ever blocks.
 */
export class NetlinkConn implements Disposable {
  readonly #socket: NetlinkTransport;
  #sequence = 0;
  #isClosed = false;

  constructor(socket: NetlinkTransport) {
    this.#socket = socket;
  }

  /**
   * Sends a request and gives the messages that answer it, without acknowledgements. An interrupted dump is done again.
   * The request ends with the acknowledgement if it asks for one (NLM_F_ACK), with the end of the dump, or with one message.
   * @throws NetlinkError the kernel's refusal; EPROTO for an answer that is none
   */
  execute(request: NetlinkRequest): NetlinkMessage[] {
    return collect<NetlinkMessage>((begin) => this.each(request, begin));
  }

  /**
   * As {@link execute}, but hands each message over and keeps none, for tables of many thousands. What is told may make no
   * request of this connection. An interrupted dump is told anew, with what `begin` gives then.
   * @throws NetlinkError as {@link execute}, and whatever is thrown by what is told
   */
  each(request: NetlinkRequest, begin: Begin<NetlinkMessage>): void {
    const flags = request.message.bytes().readUInt16LE(6);
    const isDump = (flags & NLM_F.DUMP) === NLM_F.DUMP;
    try {
      for (let tries = 1; tries <= DUMP_TRIES; tries++) {
        if (this.#tryExecute(request, flags, { isDump, tell: begin() })) return;
      }
    } catch (error) {
      // A dump that is left half read would make the kernel refuse the next one.
      if (isDump || isCode(error, 'EPROTO')) this.#drain();
      throw error;
    }
    throw new NetlinkError(request.op, ERRNO.EINTR, { message: 'dump kept changing' });
  }

  /**
   * Sends several changes in one datagram: one call into the kernel and one answer, however many they are. For requests
   * that are answered with yes or no. The kernel works on all of them in order and does not stop at one that it
   * refuses, so none may do harm when an earlier one failed.
   * @throws NetlinkError the first refusal, when all have been worked on
   */
  executeAll(requests: readonly NetlinkRequest[]): void {
    const [first, ...more] = requests;
    if (first === undefined) return;
    const op = more.length === 0 ? first.op : `${first.op} and ${more.length} more`;
    const bySequence = new Map<number, string>();
    let last = 0;
    const messages = requests.map(({ op, message }, i) => {
      // Refusals come anyway, and the last one's acknowledgement says that all were worked on.
      if (i === more.length) message.addFlags(NLM_F.ACK);
      else message.clearFlags(NLM_F.ACK);
      last = this.nextSequence();
      message.finish(last);
      bySequence.set(last, op);
      return message.bytes();
    });
    this.#send(op, messages.length === 1 ? messages[0]! : Buffer.concat(messages));
    let failure: NetlinkError | undefined;
    for (let isOver = false; !isOver; ) {
      for (const message of splitMessages(this.#receive(op, false)!)) {
        const requestOp = bySequence.get(message.sequence);
        if (requestOp === undefined || message.type !== NLMSG_ERROR) continue;
        failure ??= messageError(requestOp, message);
        isOver ||= message.sequence === last;
      }
    }
    if (failure !== undefined) throw failure;
  }

  /** Sends messages that the caller numbered, and gives everything that comes back. The caller judges it. */
  exchange(op: string, datagram: Buffer): NetlinkMessage[] {
    this.#send(op, datagram);
    const replies: NetlinkMessage[] = [];
    for (;;) {
      const received = this.#socket.receiveNow();
      if (received === undefined) return replies;
      traceDatagram('receive', op, received);
      replies.push(...splitMessages(received));
    }
  }

  /** A sequence number for a message that the caller sends itself. */
  nextSequence(): number {
    this.#sequence = this.#sequence >= 0xffffffff ? 1 : this.#sequence + 1;
    return this.#sequence;
  }

  /** False when a dump was interrupted. */
  #tryExecute(
    request: NetlinkRequest,
    flags: number,
    { isDump, tell }: { isDump: boolean; tell: (message: NetlinkMessage) => void },
  ): boolean {
    const sequence = this.nextSequence();
    request.message.finish(sequence);
    this.#send(request.op, request.message.bytes());
    let interrupted = false;
    for (;;) {
      const received = this.#receive(request.op, isDump);
      if (received === undefined) return false;
      for (const message of splitMessages(received)) {
        if (message.sequence !== sequence || message.type === NLMSG_NOOP) continue;
        if (message.flags & NLM_F.DUMP_INTR) interrupted = true;
        if (message.type === NLMSG_ERROR || message.type === NLMSG_DONE) {
          const failure = messageError(request.op, message);
          if (failure !== undefined) throw failure;
          return !interrupted;
        }
        tell(message);
        if ((flags & NLM_F.ACK) === 0 && !isDump && (message.flags & NLM_F.MULTI) === 0) return true;
      }
    }
  }

  #send(op: string, datagram: Buffer): void {
    this.assertOpen(op);
    traceDatagram('send', op, datagram);
    this.#socket.send(datagram);
  }

  /** Undefined when the answer to a dump got lost for want of buffer space. */
  #receive(op: string, isDump: boolean): Buffer | undefined {
    try {
      const datagram = this.#socket.receiveNow();
      if (datagram === undefined) {
        throw new NetlinkError(op, ERRNO.EPROTO, { message: 'the kernel gave no answer' });
      }
      traceDatagram('receive', op, datagram);
      return datagram;
    } catch (error) {
      if (!isCode(error, 'ENOBUFS')) throw error;
      this.#drain();
      // The change itself may have been made: only a question can be asked again.
      if (isDump) return undefined;
      throw new NetlinkError(op, ERRNO.ENOBUFS, { message: 'the answer was lost' });
    }
  }

  #drain(): void {
    for (let limit = 100_000; limit > 0; limit--) {
      try {
        if (this.#socket.receiveNow() === undefined) return;
      } catch (error) {
        if (!isCode(error, 'ENOBUFS')) throw error;
      }
    }
  }

  /** Throws after {@link close}: the descriptor's number may be somebody else's by then. */
  assertOpen(op: string): void {
    if (this.#isClosed) throw new Error(`${op}: the netlink connection is closed`);
  }

  close(): void {
    this.#isClosed = true;
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Takes a datagram apart. @throws NetlinkError EPROTO */
export function splitMessages(datagram: Buffer): NetlinkMessage[] {
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at < datagram.length; ) {
    const left = datagram.length - at;
    if (left < HEADER) throw malformed(`${left} bytes where a message header is due`);
    const length = datagram.readUInt32LE(at);
    if (length < HEADER || length > left)
      throw malformed(`message of ${length} bytes where ${left} are left`);
    messages.push({
      type: datagram.readUInt16LE(at + 4),
      flags: datagram.readUInt16LE(at + 6),
      sequence: datagram.readUInt32LE(at + 8),
      payload: datagram.subarray(at + HEADER, at + length),
    });
    at += align4(length);
  }
  return messages;
}

/** True for an acknowledgement, good or bad. */
export function isAck(message: NetlinkMessage): boolean {
  return message.type === NLMSG_ERROR;
}

/** The failure in an acknowledgement or at the end of a dump; undefined when it says success. */
export function messageError(op: string, message: NetlinkMessage): NetlinkError | undefined {
  const { payload } = message;
  if (payload.length < 4) {
    // NLMSG_DONE carried no status in old kernels.
    return message.type === NLMSG_DONE ? undefined : malformed('acknowledgement without a status');
  }
  const status = payload.readInt32LE(0);
  return status < 0 ? new NetlinkError(op, -status, extendedAck(message)) : undefined;
}

function extendedAck(message: NetlinkMessage): ExtendedAck {
  const { payload, flags } = message;
  if ((flags & NLM_F_ACK_TLVS) === 0) return {};
  let start = 4;
  if (message.type === NLMSG_ERROR) {
    if (payload.length < start + HEADER) throw malformed('acknowledgement without the header it answers');
    start += flags & NLM_F_CAPPED ? HEADER : align4(payload.readUInt32LE(start));
  }
  const extack: ExtendedAck = {};
  const attrs = new AttributeReader(payload, Math.min(start, payload.length));
  while (attrs.next()) {
    if (attrs.type === NLMSGERR_ATTR_MSG) extack.message = attrs.string();
    else if (attrs.type === NLMSGERR_ATTR_OFFS) extack.offset = attrs.u32();
  }
  return extack;
}
