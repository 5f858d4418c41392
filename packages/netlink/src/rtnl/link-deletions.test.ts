import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { splitMessages } from '../conn.ts';
import { ack, encodeReply, type FakeReply } from '../fake-kernel.ts';
import { RTM } from './constants.ts';
import { LinkDeletions } from './link-deletions.ts';
import type { BackgroundTransport } from './rtnl.ts';

/** A socket whose sends return only when the test says so, as the kernel's do after its grace period. */
class SlowSocket implements BackgroundTransport {
  readonly sends: { ifIndex: number; sequence: number; finish(error?: Error): void }[] = [];
  readonly #received: Buffer[] = [];
  #wake: (() => void) | undefined;
  isClosed = false;

  send(): void {
    throw new Error('deletions must not block');
  }

  sendAsync(datagram: Buffer): Promise<void> {
    const [request] = splitMessages(Buffer.from(datagram));
    return new Promise((resolve, reject) => {
      this.sends.push({
        ifIndex: request!.payload.readInt32LE(4),
        sequence: request!.sequence,
        finish: (error) => (error === undefined ? resolve() : reject(error)),
      });
    });
  }

  deliver(reply: FakeReply): void {
    this.#received.push(encodeReply(reply));
    this.#wake?.();
  }

  announce(ifIndex: number, family = 0): void {
    const payload = Buffer.alloc(16);
    payload[0] = family;
    payload.writeInt32LE(ifIndex, 4);
    this.deliver({ type: RTM.DELLINK, payload });
  }

  waitReadable(): Promise<boolean> {
    if (this.#received.length > 0) return Promise.resolve(true);
    return new Promise((resolve) => {
      this.#wake = () => resolve(true);
    });
  }

  /** A poll that times out. */
  timeOut(): void {
    this.#wake?.();
  }

  receiveNow(): Buffer | undefined {
    return this.#received.shift();
  }

  setReceiveBuffer(): void {}

  close(): void {
    assert.equal(this.isClosed, false);
    this.isClosed = true;
  }
}

function setUp() {
  const sockets: SlowSocket[] = [];
  const deletions = new LinkDeletions(() => {
    const socket = new SlowSocket();
    sockets.push(socket);
    return socket;
  });
  const start = (ifIndex: number, isGone = () => assert.fail('nothing was lost')) => {
    const state = { result: undefined as boolean | Error | undefined };
    deletions.delete({ ifIndex, op: `delete link ${ifIndex}`, isGone }).then(
      (result) => {
        state.result = result;
      },
      (error: Error) => {
        state.result = error;
      },
    );
    return state;
  };
  return { sockets, start };
}

async function settle(): Promise<void> {
  for (let i = 0; i < 5; i++) await turn();
}

test('the announcement settles it, long before the send returns; the socket stays open until then', async () => {
  const { sockets, start } = setUp();
  const state = start(7);
  const [socket] = sockets;
  await settle();
  assert.equal(state.result, undefined);
  socket!.announce(7);
  await settle();
  assert.equal(state.result, true);
  assert.equal(socket!.isClosed, false);
  socket!.deliver({ ...ack(), sequence: socket!.sends[0]!.sequence });
  socket!.sends[0]!.finish();
  await settle();
  assert.equal(socket!.isClosed, true);
});

test('announcements of other links, and of a bridge that loses its port, settle nothing', async () => {
  const { sockets, start } = setUp();
  const state = start(7);
  sockets[0]!.announce(8);
  sockets[0]!.announce(7, 7);
  await settle();
  assert.equal(state.result, undefined);
  sockets[0]!.announce(7);
  await settle();
  assert.equal(state.result, true);
});

test('without an announcement the acknowledgement settles it', async () => {
  const { sockets, start } = setUp();
  const state = start(7);
  sockets[0]!.deliver({ ...ack(), sequence: sockets[0]!.sends[0]!.sequence });
  sockets[0]!.sends[0]!.finish();
  await settle();
  assert.equal(state.result, true);
});

test('no such link is false, another refusal is an error', async () => {
  const { sockets, start } = setUp();
  const [missing, refused] = [start(7), start(8)];
  const [first, second] = sockets[0]!.sends;
  sockets[0]!.deliver({ ...ack(19), sequence: first!.sequence });
  sockets[0]!.deliver({ ...ack(95, { message: 'cannot' }), sequence: second!.sequence });
  await settle();
  assert.equal(missing.result, false);
  assert.equal((refused.result as Error).message.includes('delete link 8: ENOTSUP'), true);
});

test('when every answer is lost the kernel is asked; a send that failed says why', async () => {
  const { sockets, start } = setUp();
  const gone = start(7, () => true as never);
  const there = start(8, () => false as never);
  const unsent = start(9, () => false as never);
  const [first, second, third] = sockets[0]!.sends;
  first!.finish();
  second!.finish();
  third!.finish(new Error('send failed'));
  await settle();
  sockets[0]!.timeOut();
  await settle();
  assert.equal(gone.result, true);
  assert.equal((there.result as { code?: string }).code, 'ENOBUFS');
  assert.equal((unsent.result as Error).message, 'send failed');
  assert.equal(sockets[0]!.isClosed, true);
});

test('fifty at once: no more than twelve threads are held, all end, one socket serves', async () => {
  const { sockets, start } = setUp();
  const states = Array.from({ length: 50 }, (_, index) => start(index + 1));
  let finished = 0;
  while (finished < 50) {
    const open = sockets[0]!.sends.slice(finished);
    assert.ok(open.length > 0 && open.length <= 12, `${open.length} sends under way`);
    for (const send of open) {
      sockets[0]!.announce(send.ifIndex);
      sockets[0]!.deliver({ ...ack(), sequence: send.sequence });
      send.finish();
      finished++;
    }
    await settle();
  }
  assert.ok(states.every((state) => state.result === true));
  assert.equal(sockets.length, 1);
  assert.equal(sockets[0]!.isClosed, true);
});

test('a later deletion opens a socket of its own; one that cannot be opened is the caller’s error', async () => {
  const { sockets, start } = setUp();
  for (const round of [0, 1]) {
    const state = start(7);
    sockets[round]!.announce(7);
    sockets[round]!.sends[0]!.finish();
    await settle();
    assert.equal(state.result, true);
  }
  assert.equal(sockets.length, 2);
  const broken = new LinkDeletions(() => {
    throw new Error('too many open files');
  });
  await assert.rejects(broken.delete({ ifIndex: 1, op: 'x', isGone: () => true }), /too many open files/);
});
