import { setTimeout as sleep } from 'node:timers/promises';
import { isNetworkDown, type PacketSocket } from '@amphipod/linux';
import type { IpAddress } from '@amphipod/netlink';
import { decodeDatagram, encodeDatagram } from './datagram.ts';
import { type DhcpMessage, decodeReply, encodeMessage } from './message.ts';

/** Where a message goes; by default to every server of the link. */
export interface Destination {
  ip: IpAddress;
  /** Hardware address. */
  mac: Buffer;
}

export const everyServer: Destination = {
  ip: { family: 4, value: 0xffff_ffffn },
  mac: Buffer.alloc(6, 0xff),
};

export interface Reply {
  message: DhcpMessage;
  /** Hardware address of the server, or of the relay on the link. */
  from: Buffer;
}

export interface ExchangeOptions {
  to?: Destination;
  isWanted(reply: DhcpMessage): boolean;
  /** How long to wait for an answer in all, with what is sent again. */
  timeoutMs: number;
  signal: AbortSignal;
}

/** RFC 2131 says 4 s; but an interface that has just come up loses what is sent before its switch port forwards. */
const FIRST_RESEND_MS = 250;
const MIN_POLL_MS = 1;
const MAX_POLL_MS = 50;

/** Sends a message until there is an answer to it; undefined when there is none in time. @throws the signal's reason; SyscallError */
export async function exchange(
  socket: PacketSocket,
  message: DhcpMessage,
  { to = everyServer, isWanted, timeoutMs, signal }: ExchangeOptions,
): Promise<Reply | undefined> {
  const start = performance.now();
  const elapsed = () => performance.now() - start;
  let resendMs = FIRST_RESEND_MS;
  for (let sendAt = 0; elapsed() < timeoutMs; ) {
    sendMessage(socket, { ...message, secs: Math.floor(elapsed() / 1000) }, to);
    sendAt += resendMs * (0.8 + 0.4 * Math.random());
    resendMs *= 2;
    const until = Math.min(sendAt, timeoutMs);
    // A timer and a look, in steps that grow: a thread that waits would be one less for everybody else's files.
    for (let pollMs = MIN_POLL_MS; elapsed() < until; pollMs = Math.min(pollMs * 1.5, MAX_POLL_MS)) {
      const reply = receive(socket, message, isWanted);
      if (reply !== undefined) return reply;
      await sleep(Math.min(pollMs, Math.max(1, until - elapsed())), undefined, { signal });
    }
  }
  return undefined;
}

/** @throws SyscallError; not when the interface is down, which may pass */
export function sendMessage(socket: PacketSocket, message: DhcpMessage, to: Destination): void {
  try {
    socket.send(encodeDatagram(encodeMessage(message), message.ciaddr, to.ip), to.mac);
  } catch (error) {
    if (!isNetworkDown(error)) throw error;
  }
}

function receive(
  socket: PacketSocket,
  { xid, chaddr }: DhcpMessage,
  isWanted: (reply: DhcpMessage) => boolean,
): Reply | undefined {
  for (;;) {
    const packet = receiveNow(socket);
    if (packet === undefined) return undefined;
    const payload = decodeDatagram(packet.data);
    const message = payload && decodeReply(payload);
    if (message === undefined || message.xid !== xid || !message.chaddr.equals(chaddr)) continue;
    if (isWanted(message)) return { message, from: packet.from };
  }
}

function receiveNow(socket: PacketSocket): ReturnType<PacketSocket['receiveNow']> {
  try {
    return socket.receiveNow();
  } catch (error) {
    if (isNetworkDown(error)) return undefined;
    throw error;
  }
}
