import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NetlinkMessage } from '../conn.ts';
import { NetlinkError } from '../errors.ts';
import { ack, type FakeReply, type FakeSocket, fakeSocket } from '../fake-kernel.ts';
import { parseIp } from '../ip.ts';
import { parseElementList } from './element-parse.ts';
import { Nft, nftTransaction } from './nft.ts';
import type { NftOp, NftSet } from './objects.ts';

const NLM_F_ACK = 4;
const at = { family: 'inet', table: 't' } as const;
const set: NftSet = { object: 'set', ...at, set: 's', key: ['ipv4_addr'] };

function connect(kernel: (request: NetlinkMessage) => FakeReply[]): {
  conn: Nft;
  socket: FakeSocket;
  grown: number[];
} {
  const grown: number[] = [];
  const socket = fakeSocket(kernel);
  return { conn: new Nft(socket, (bytes) => grown.push(bytes)), socket, grown };
}

/** Acknowledges what asks for it, as the kernel does when all is well. */
function content(request: NetlinkMessage): FakeReply[] {
  return (request.flags & NLM_F_ACK) === 0 ? [] : [ack()];
}

const table: NftOp = { op: 'add', object: 'table', ...at };
const chain: NftOp = { op: 'add', object: 'chain', ...at, chain: 'c' };
const rule: NftOp = { op: 'add', object: 'rule', ...at, chain: 'c', expressions: [] };

test('the steps go out between the two ends of a batch; only the last asks for an answer', () => {
  const { conn, socket } = connect(content);
  nftTransaction(conn, [table, chain, rule]);
  assert.deepEqual(
    socket.sent.map(({ type, flags }) => [type, flags & NLM_F_ACK]),
    [
      [16, 0],
      [0xa00, 0],
      [0xa03, 0],
      [0xa06, NLM_F_ACK],
      [17, 0],
    ],
  );
  // struct nfgenmsg of the ends names the subsystem, of the steps the family.
  assert.equal(socket.sent[0]!.payload.toString('hex'), '0000000a');
  assert.equal(socket.sent[1]!.payload.subarray(0, 4).toString('hex'), '01000000');
});

test('a failure is told as the step that it belongs to, the first of several', () => {
  const { conn } = connect((request) => (request.type === 0xa03 || request.type === 0xa06 ? [ack(2)] : []));
  assert.throws(
    () => nftTransaction(conn, [table, chain, rule]),
    (error) => error instanceof NetlinkError && error.op === 'add chain inet t c' && error.code === 'ENOENT',
  );
});

test('a failure of the whole change is told as such', () => {
  const { conn } = connect((request) => (request.type === 16 ? [ack(1)] : []));
  assert.throws(() => nftTransaction(conn, [table]), { op: 'change nftables ruleset', code: 'EPERM' });
});

test('silence is an error; nothing to do sends nothing', () => {
  const { conn, socket } = connect(() => []);
  assert.throws(() => nftTransaction(conn, [table]), { code: 'EPROTO' });
  const before = socket.sent.length;
  nftTransaction(conn, []);
  nftTransaction(conn, [{ op: 'add', object: 'elements', of: set, elements: [] }]);
  assert.equal(socket.sent.length, before);
});

test('many elements go out in several messages of one transaction, with room for them', () => {
  const { conn, socket, grown } = connect(content);
  const elements = Array.from({ length: 5000 }, (_, index) => ({
    key: [{ family: 4 as const, value: BigInt(index) }],
    comment: `element ${index}`,
  }));
  nftTransaction(conn, [{ op: 'add', object: 'elements', of: set, elements }]);
  const parts = socket.sent.filter(({ type }) => type === 0xa0c);
  assert.ok(parts.length > 1);
  const read = parts.flatMap(({ payload }) => parseElementList(payload));
  assert.deepEqual(
    read.map(({ comment }) => comment),
    elements.map(({ comment }) => comment),
  );
  const [bytes] = grown;
  assert.ok(bytes! > socket.sent.reduce((sum, { payload }) => sum + payload.length + 16, 0));
});

test('a value that fits no type is refused before anything is sent', () => {
  const { conn, socket } = connect(content);
  const wrong = [[parseIp('::1')], [5], ['10.0.0.1'], [parseIp('10.0.0.1'), 5], []];
  for (const key of wrong) {
    assert.throws(
      () => nftTransaction(conn, [{ op: 'add', object: 'elements', of: set, elements: [{ key }] }]),
      RangeError,
    );
  }
  const range = { key: [parseIp('10.0.0.1')], keyEnd: [parseIp('10.0.0.2')] };
  assert.throws(
    () => nftTransaction(conn, [{ op: 'add', object: 'elements', of: set, elements: [range] }]),
    /holds no ranges/,
  );
  assert.throws(() => nftTransaction(conn, [{ ...rule, comment: 'x'.repeat(128) }]), RangeError);
  assert.equal(socket.sent.length, 0);
});

test('destroy is add and delete, for tables and chains', () => {
  const { conn, socket } = connect(content);
  nftTransaction(conn, [
    { op: 'destroy', object: 'chain', ...at, chain: 'c' },
    { op: 'destroy', object: 'table', ...at },
  ]);
  const types = socket.sent.map(({ type }) => type);
  assert.deepEqual(types, [16, 0xa03, 0xa05, 0xa00, 0xa02, 17]);
});
