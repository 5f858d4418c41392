import assert from 'node:assert/strict';
import diagnostics from 'node:diagnostics_channel';
import { test } from 'node:test';
import { SyscallError } from '@amphipod/linux';
import fc from 'fast-check';
import { MessageWriter } from './attributes.ts';
import { NetlinkConn, type NetlinkRequest, type NetlinkTrace, NLM_F } from './conn.ts';
import { NetlinkError } from './errors.ts';
import { ack, done, encodeReply, type FakeReply, fakeSocket, isProtocolError } from './fake-kernel.ts';

const TYPE = 20;

function request(flags: number): NetlinkRequest {
  return { op: 'do thing', message: new MessageWriter().message(TYPE, NLM_F.REQUEST | flags) };
}

function item(text: string, flags = 0): FakeReply {
  return { type: TYPE, payload: Buffer.from(text), flags };
}

function texts(conn: NetlinkConn, flags: number): string[] {
  return conn.execute(request(flags)).map((message) => message.payload.toString());
}

test('a question without acknowledgement ends with its one answer', () => {
  const conn = new NetlinkConn(fakeSocket(() => [item('one')]));
  assert.deepEqual(texts(conn, 0), ['one']);
});

test('a change ends with its acknowledgement and gives what came before', () => {
  const conn = new NetlinkConn(fakeSocket(() => [item('echo'), ack()]));
  assert.deepEqual(texts(conn, NLM_F.ACK), ['echo']);
});

test('a dump is read to its end, over several datagrams', () => {
  const conn = new NetlinkConn(fakeSocket(() => [item('a', NLM_F.MULTI), item('b', NLM_F.MULTI), done()]));
  assert.deepEqual(texts(conn, NLM_F.DUMP), ['a', 'b']);
});

test('each request has a number of its own; late answers to others are skipped', () => {
  const socket = fakeSocket(() => [item('mine')]);
  socket.pending.push(
    encodeReply({ ...ack(17), sequence: 99 }),
    encodeReply({ ...item('old'), sequence: 98 }),
  );
  const conn = new NetlinkConn(socket);
  assert.deepEqual(texts(conn, 0), ['mine']);
  assert.deepEqual(texts(conn, 0), ['mine']);
  const numbers = socket.sent.map((message) => message.sequence);
  assert.equal(new Set(numbers).size, 2);
});

test('a refusal has the errno, the words of the kernel and the place', () => {
  const conn = new NetlinkConn(fakeSocket(() => [ack(17, { message: 'it is there', offset: 36 })]));
  assert.throws(
    () => conn.execute(request(NLM_F.ACK)),
    (error: NetlinkError) => {
      assert.ok(error instanceof NetlinkError);
      assert.equal(error.message, 'do thing: EEXIST (file already exists): it is there');
      assert.deepEqual(
        [error.code, error.errno, error.op, error.extack, error.offset],
        ['EEXIST', 17, 'do thing', 'it is there', 36],
      );
      return true;
    },
  );
});

test('the words are found behind the whole request too, when the kernel sends it back', () => {
  const capped = ack(22, { message: 'bad value' });
  const head = Buffer.from(capped.payload.subarray(0, 20));
  head.writeUInt32LE(16 + 8, 4);
  const payload = Buffer.concat([head, Buffer.alloc(8), capped.payload.subarray(20)]);
  const conn = new NetlinkConn(fakeSocket(() => [{ ...capped, payload, flags: 0x200 }]));
  assert.throws(() => conn.execute(request(NLM_F.ACK)), { extack: 'bad value', code: 'EINVAL' });
});

test('a dump that fails at its end is a failure', () => {
  const failed = done();
  failed.payload.writeInt32LE(-19);
  const conn = new NetlinkConn(fakeSocket(() => [failed]));
  assert.throws(() => conn.execute(request(NLM_F.DUMP)), { code: 'ENODEV' });
});

test('an interrupted dump is done again, and not forever', () => {
  let tries = 0;
  const conn = new NetlinkConn(
    fakeSocket(() => [item(`try ${++tries}`, NLM_F.MULTI | (tries < 3 ? NLM_F.DUMP_INTR : 0)), done()]),
  );
  assert.deepEqual(texts(conn, NLM_F.DUMP), ['try 3']);
  const restless = new NetlinkConn(fakeSocket(() => [done(NLM_F.DUMP_INTR)]));
  assert.throws(() => restless.execute(request(NLM_F.DUMP)), { code: 'EINTR' });
});

test('lost answers: a dump is done again, a change is not', () => {
  const socket = fakeSocket((message) =>
    (message.flags & NLM_F.DUMP) === NLM_F.DUMP ? [item('a', NLM_F.MULTI), done()] : [ack()],
  );
  const conn = new NetlinkConn(socket);
  socket.pending.push(new SyscallError('recv', 105));
  assert.deepEqual(texts(conn, NLM_F.DUMP), ['a']);
  assert.equal(socket.sent.length, 2);
  socket.pending.push(new SyscallError('recv', 105));
  assert.throws(() => conn.execute(request(NLM_F.ACK)), { code: 'ENOBUFS' });
  assert.equal(socket.sent.length, 3);
  assert.deepEqual(socket.pending, []);
});

test('silence is an error, not a wait', () => {
  const conn = new NetlinkConn(fakeSocket(() => []));
  assert.throws(() => conn.execute(request(NLM_F.ACK)), isProtocolError);
});

test('after close nothing is sent', () => {
  const socket = fakeSocket(() => [ack()]);
  const conn = new NetlinkConn(socket);
  conn.close();
  assert.throws(() => conn.execute(request(NLM_F.ACK)), /closed/);
  assert.equal(socket.isClosed, true);
  assert.deepEqual(socket.sent, []);
});

test('whatever comes back, execute ends with an answer or a NetlinkError', () => {
  const bytes = fc.uint8Array({ maxLength: 80 });
  const type = fc.constantFrom(1, 2, 3, TYPE);
  const reply = fc.record({ type, payload: bytes, flags: fc.integer({ min: 0, max: 0xffff }) });
  fc.assert(
    fc.property(fc.array(reply, { maxLength: 5 }), fc.array(bytes, { maxLength: 3 }), (replies, noise) => {
      const conn = new NetlinkConn(
        fakeSocket(() => replies.map((r) => ({ ...r, payload: Buffer.from(r.payload) }))),
      );
      const rawSocket = fakeSocket(() => []);
      rawSocket.pending.push(...noise.map((datagram) => Buffer.from(datagram)));
      for (const subject of [conn, new NetlinkConn(rawSocket)]) {
        for (const flags of [0, NLM_F.ACK, NLM_F.DUMP]) {
          try {
            subject.execute(request(flags));
          } catch (error) {
            assert.ok(error instanceof NetlinkError, String(error));
          }
        }
      }
    }),
    { numRuns: 1000 },
  );
});

test('the diagnostics channel sees each datagram with the words for it', () => {
  const seen: NetlinkTrace[] = [];
  const listener = (message: unknown) => seen.push(message as NetlinkTrace);
  diagnostics.subscribe('amphipod:netlink', listener);
  try {
    new NetlinkConn(fakeSocket(() => [ack()])).execute(request(NLM_F.ACK));
  } finally {
    diagnostics.unsubscribe('amphipod:netlink', listener);
  }
  assert.deepEqual(
    seen.map(({ direction, op }) => [direction, op]),
    [
      ['send', 'do thing'],
      ['receive', 'do thing'],
    ],
  );
});
