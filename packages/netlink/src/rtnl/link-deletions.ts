import { isCode } from '@amphipod/linux';
import { MessageWriter } from '../attributes.ts';
import { isAck, messageError, type NetlinkMessage, NLM_F, splitMessages, traceDatagram } from '../conn.ts';
import { ERRNO, NetlinkError } from '../errors.ts';
import { RTM, RTNLGRP } from './constants.ts';
import type { BackgroundTransport, OpenSibling } from './rtnl.ts';

/** Each send holds a pool thread for up to 30 ms; this many leave room for others in a pool of 16. */
const CONCURRENT_SENDS = 12;
const RECEIVE_BUFFER_BYTES = 4 << 20;
const POLL_TIMEOUT_MS = 500;

/** One link to delete. */
export interface LinkDeletion {
  ifIndex: number;
  /** For errors: `delete link "veth0"`. */
  op: string;
  /** Asks the kernel, for when its answer got lost. */
  isGone: () => boolean;
}

interface Pending extends LinkDeletion {
  sequence: number;
  isSettled: boolean;
  resolve(wasThere: boolean): void;
  reject(error: unknown): void;
}

/**
 * Deletes links without waiting for the kernel to tidy up. RTM_DELLINK blocks its sender until an RCU grace period is
 * over (about 27 ms), but the kernel announces the deletion to the link group after 1 ms, when the name is free and
 * the link is gone. So the request goes out from a pool thread, over a socket of its own that also listens to the
 * group; the announcement settles it, or else the acknowledgement. The socket lives while requests are under way.
 */
export class LinkDeletions {
  readonly #openSibling: OpenSibling;
  #socket: BackgroundTransport | undefined;
  #sequence = 0;
  #sending = 0;
  #isPumping = false;
  readonly #queue: Pending[] = [];
  readonly #pending = new Set<Pending>();

  constructor(openSibling: OpenSibling) {
    this.#openSibling = openSibling;
  }

  /** Resolves to true when the link is gone, to false when there was none. @throws NetlinkError */
  delete(deletion: LinkDeletion): Promise<boolean> {
    return new Promise((resolve, reject) => {
      this.#sequence++;
      const pending = { ...deletion, sequence: this.#sequence, isSettled: false, resolve, reject };
      this.#pending.add(pending);
      this.#queue.push(pending);
      try {
        this.#start();
      } catch (error) {
        this.#queue.splice(this.#queue.indexOf(pending), 1);
        this.#settle(pending, error);
      }
    });
  }

  #start(): void {
    if (this.#socket === undefined) {
      this.#socket = this.#openSibling([RTNLGRP.LINK]);
      this.#socket.setReceiveBuffer(RECEIVE_BUFFER_BYTES);
    }
    // First the poll, so that it has a pool thread before the sends take theirs.
    if (!this.#isPumping) void this.#pump(this.#socket);
    while (this.#sending < CONCURRENT_SENDS && this.#queue.length > 0) {
      void this.#send(this.#socket, this.#queue.shift()!);
    }
  }

  async #pump(socket: BackgroundTransport): Promise<void> {
    this.#isPumping = true;
    while (this.#pending.size > 0) {
      await socket.waitReadable(POLL_TIMEOUT_MS).catch(() => false);
      this.#drain(socket);
    }
    this.#isPumping = false;
    this.#closeIfIdle();
  }

  async #send(socket: BackgroundTransport, pending: Pending): Promise<void> {
    this.#sending++;
    const writer = new MessageWriter(64).message(RTM.DELLINK, NLM_F.REQUEST | NLM_F.ACK);
    writer.header(16).writeInt32LE(pending.ifIndex, 4);
    writer.finish(pending.sequence);
    traceDatagram('send', pending.op, writer.bytes());
    const failure: unknown = await socket.sendAsync(writer.bytes()).then(
      () => undefined,
      (error: unknown) => error,
    );
    this.#sending--;
    this.#drain(socket);
    // Neither announcement nor acknowledgement: the buffer was full, or nothing was sent.
    if (!pending.isSettled) this.#settleByAsking(pending, failure);
    if (this.#queue.length > 0) this.#start();
    this.#closeIfIdle();
  }

  #drain(socket: BackgroundTransport): void {
    for (;;) {
      try {
        const datagram = socket.receiveNow();
        if (datagram === undefined) return;
        traceDatagram('receive', 'delete link', datagram);
        for (const message of splitMessages(datagram)) this.#take(message);
      } catch (error) {
        // Lost or unreadable messages: whoever waited for them asks once its send has returned.
        if (!isCode(error, 'ENOBUFS', 'EPROTO')) return;
      }
    }
  }

  #take(message: NetlinkMessage): void {
    const isAnnouncement =
      message.type === RTM.DELLINK && message.payload.length >= 16 && message.payload[0] === 0;
    const ifIndex = isAnnouncement ? message.payload.readInt32LE(4) : 0;
    for (const pending of this.#pending) {
      if (isAnnouncement && pending.ifIndex === ifIndex) this.#settle(pending, true);
      else if (isAck(message) && message.sequence === pending.sequence) {
        const failure = messageError(pending.op, message);
        this.#settle(
          pending,
          failure === undefined ? true : failure.errno === ERRNO.ENODEV ? false : failure,
        );
      }
    }
  }

  #settleByAsking(pending: Pending, failure: unknown): void {
    try {
      const lost = new NetlinkError(pending.op, ERRNO.ENOBUFS, { message: 'the answer was lost' });
      this.#settle(pending, pending.isGone() ? true : (failure ?? lost));
    } catch (error) {
      this.#settle(pending, error);
    }
  }

  #settle(pending: Pending, result: unknown): void {
    pending.isSettled = true;
    this.#pending.delete(pending);
    if (typeof result === 'boolean') pending.resolve(result);
    else pending.reject(result);
  }

  /** A descriptor that a pool thread still uses must not be closed: its number would be given away. */
  #closeIfIdle(): void {
    if (this.#sending > 0 || this.#isPumping || this.#queue.length > 0) return;
    this.#socket?.close();
    this.#socket = undefined;
  }
}
