import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NetlinkMessage } from '../conn.ts';
import { NetlinkError } from '../errors.ts';
import { ack, attributes, type FakeReply, fakeSocket, isProtocolError } from '../fake-kernel.ts';
import { nftFindChain } from './find-chain.ts';
import { nftFindRule } from './find-rule.ts';
import { isStaleGeneration, nftGeneration } from './generation.ts';
import { Nft, nftTransaction } from './nft.ts';

const at = { family: 'ip6', table: 'filter', chain: 'c' } as const;
const nfgenmsg = Buffer.from([10, 0, 0, 0]);

function connect(kernel: (request: NetlinkMessage) => FakeReply[]) {
  const socket = fakeSocket(kernel);
  return { conn: new Nft(socket), socket };
}

test('a rule is asked for by table, chain and handle, and no dump', () => {
  const { conn, socket } = connect(() => [ack(2)]);
  assert.equal(nftFindRule(conn, { object: 'rule', ...at, handle: 0x1_0000_0007n }), undefined);
  const [request] = socket.sent;
  assert.deepEqual([request!.type, request!.flags], [0xa07, 1]);
  const wanted = attributes((writer) => {
    writer.string(1, 'filter');
    writer.string(2, 'c');
    writer.u64be(3, 0x1_0000_0007n);
  });
  assert.deepEqual(request!.payload, Buffer.concat([nfgenmsg, wanted]));
});

test('a chain is asked for by table and name', () => {
  const { conn, socket } = connect(() => [ack(2)]);
  assert.equal(nftFindChain(conn, at), undefined);
  const wanted = attributes((writer) => {
    writer.string(1, 'filter');
    writer.string(3, 'c');
  });
  assert.deepEqual([socket.sent[0]!.type, socket.sent[0]!.flags], [0xa04, 1]);
  assert.deepEqual(socket.sent[0]!.payload, Buffer.concat([nfgenmsg, wanted]));
});

test('refusals other than "there is none" are thrown, with what was asked for', () => {
  const { conn } = connect(() => [ack(1)]);
  const isRefusal = (op: string) => (error: unknown) =>
    error instanceof NetlinkError && error.code === 'EPERM' && error.op === op;
  assert.throws(
    () => nftFindRule(conn, { object: 'rule', ...at, handle: 7n }),
    isRefusal('find rule ip6 filter c'),
  );
  assert.throws(() => nftFindChain(conn, at), isRefusal('find chain ip6 filter c'));
  assert.throws(() => nftGeneration(conn), isRefusal('read nftables generation'));
});

test('the generation is a number in network order; an answer without one is none', () => {
  const reply = (fill: Parameters<typeof attributes>[0]): FakeReply => ({
    type: 0xa0f,
    payload: Buffer.concat([Buffer.alloc(4), attributes(fill)]),
  });
  const good = connect(() => [reply((writer) => writer.u32be(1, 0xdeadbeef))]);
  assert.equal(nftGeneration(good.conn), 0xdeadbeef);
  const empty = connect(() => [reply((writer) => writer.u32be(2, 5))]);
  assert.throws(() => nftGeneration(empty.conn), isProtocolError);
});

test('a transaction says what it rests on, and is told when that is old', () => {
  const { conn, socket } = connect((request) => (request.type === 16 ? [ack(85)] : []));
  const table = { op: 'add', object: 'table', family: 'ip', table: 't' } as const;
  assert.throws(() => nftTransaction(conn, [table], { generation: 5 }), isStaleGeneration);
  const wanted = attributes((writer) => writer.u32be(1, 5));
  assert.deepEqual(socket.sent[0]!.payload.subarray(4), wanted);
  assert.equal(isStaleGeneration(new NetlinkError('x', 2)), false);
  assert.equal(isStaleGeneration(new Error('x')), false);
});
