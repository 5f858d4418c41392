// For tests: a kernel that is a function from a request to the messages that answer it.
import { MessageWriter } from './attributes.ts';
import { type NetlinkMessage, type NetlinkTransport, splitMessages } from './conn.ts';
import { NetlinkError } from './errors.ts';

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_MULTI = 2;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;

/** One reply; sequence and flags are the request's and 0 unless given. */
export interface FakeReply {
  type: number;
  payload: Buffer;
  flags?: number;
  sequence?: number;
}

export type FakeKernel = (request: NetlinkMessage) => readonly FakeReply[];

export interface FakeSocket extends NetlinkTransport {
  /** What was sent, in order. */
  readonly sent: NetlinkMessage[];
  /** Datagrams (or errors to throw) that will be received next, before those that answer requests. */
  readonly pending: (Buffer | Error)[];
  isClosed: boolean;
}

/** A socket on which `kernel` answers every message of every datagram; each reply is a datagram of its own. */
export function fakeSocket(kernel: FakeKernel): FakeSocket {
  const socket: FakeSocket = {
    sent: [],
    pending: [],
    isClosed: false,
    send(datagram) {
      for (const request of splitMessages(Buffer.from(datagram))) {
        socket.sent.push(request);
        for (const reply of kernel(request)) socket.pending.push(encodeReply(reply, request));
      }
    },
    receiveNow() {
      const next = socket.pending.shift();
      if (next instanceof Error) throw next;
      return next;
    },
    close() {
      socket.isClosed = true;
    },
  };
  return socket;
}

/** The bytes of a message as the kernel sends it. */
export function encodeReply(reply: FakeReply, request?: NetlinkMessage): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt32LE(16 + reply.payload.length, 0);
  header.writeUInt16LE(reply.type, 4);
  header.writeUInt16LE(reply.flags ?? 0, 6);
  header.writeUInt32LE(reply.sequence ?? request?.sequence ?? 0, 8);
  return Buffer.concat([header, reply.payload]);
}

/** An acknowledgement: errno 0 for success, else a positive errno, with the kernel's words. */
export function ack(errno = 0, extack: { message?: string; offset?: number } = {}): FakeReply {
  const status = Buffer.alloc(20);
  status.writeInt32LE(-errno, 0);
  status.writeUInt32LE(16, 4);
  const writer = new MessageWriter();
  if (extack.message !== undefined) writer.string(1, extack.message);
  if (extack.offset !== undefined) writer.u32(2, extack.offset);
  const tlvs = Buffer.from(writer.bytes());
  const flags = NLM_F_CAPPED | (tlvs.length > 0 ? NLM_F_ACK_TLVS : 0);
  return { type: NLMSG_ERROR, payload: Buffer.concat([status, tlvs]), flags };
}

/** The end of a dump. */
export function done(flags = 0): FakeReply {
  return { type: NLMSG_DONE, payload: Buffer.alloc(4), flags: NLM_F_MULTI | flags };
}

/** Attributes as bytes, for payloads. */
export function attributes(fill: (writer: MessageWriter) => void): Buffer {
  const writer = new MessageWriter();
  fill(writer);
  return Buffer.from(writer.bytes());
}

/** True for the only error that reading a malformed message may give. */
export function isProtocolError(error: unknown): boolean {
  return error instanceof NetlinkError && error.code === 'EPROTO';
}
