import { inNetns, NETLINK, NetlinkSocket, setSendBuffer } from '@amphipod/linux';
import { MessageWriter } from '../attributes.ts';
import { isAck, messageError, NetlinkConn, type NetlinkTransport, NLM_F } from '../conn.ts';
import { ERRNO, NetlinkError } from '../errors.ts';
import { NFNL_BATCH_GENID, NFNL_MSG_BATCH, NFNL_SUBSYS, NFT_MSG } from './constants.ts';
import { parseRule } from './object-parse.ts';
import type { NftOp, NftRule } from './objects.ts';
import { describeOp, writeOp } from './op-write.ts';

/** The kernel counts its own bookkeeping in: net.core.wmem_default, less what a datagram may not use. */
const USUAL_SEND_BYTES = 128 * 1024;

/**
 * A connection to the kernel's netfilter family (nf_tables, connection tracking) in one network namespace: that in which it
 * was opened, wherever the thread goes later.
 */
export class Nft extends NetlinkConn {
  readonly #growSendBuffer: (bytes: number) => void;
  #sendBytes = USUAL_SEND_BYTES;

  constructor(socket: NetlinkTransport, growSendBuffer: (bytes: number) => void = () => {}) {
    super(socket);
    this.#growSendBuffer = growSendBuffer;
  }

  /** Makes room for a datagram of this size. */
  reserveSendBuffer(bytes: number): void {
    if (bytes <= this.#sendBytes) return;
    this.#growSendBuffer(2 * bytes);
    this.#sendBytes = bytes;
  }
}

/** Opens a connection in the thread's current network namespace. @throws SyscallError */
export function openNft(): Nft {
  const socket = new NetlinkSocket(NETLINK.NETFILTER);
  return new Nft(socket, (bytes) => {
    setSendBuffer(socket.fd, bytes);
    // One acknowledgement for each failed step.
    socket.setReceiveBuffer(bytes);
  });
}

/** Opens a connection in another network namespace: an open descriptor or a path. @throws SyscallError */
export function openNftIn(netns: string | number): Nft {
  return inNetns<Nft>(netns, openNft);
}

export interface TransactionOptions {
  /** Of {@link nftGeneration}: refuses, with ERESTART, when anybody has changed the ruleset since. */
  generation?: number;
  /** Gives the rules that were made, with their handles. */
  wantsRules?: boolean;
}

/**
 * `nft -f -`: all of the steps or none, in one atomic change; packets see the rules from before or from after.
 * @throws NetlinkError with the step that failed as its `op`: `add rule ip t c: ENOENT (…)`; RangeError before anything
 * is sent, for values that fit no nftables type
 */
export function nftTransaction(
  conn: Nft,
  ops: readonly NftOp[],
  options: TransactionOptions = {},
): NftRule[] {
  if (ops.length === 0) return [];
  const writer = new MessageWriter(4096);
  /** Which step a sequence number belongs to. */
  const steps = new Map<number, NftOp>();
  writeBatchEdge(writer, NFNL_MSG_BATCH.BEGIN, conn.nextSequence(), options.generation);
  let last = 0;
  for (const op of ops) {
    writeOp(writer, op, () => {
      const sequence = conn.nextSequence();
      steps.set(sequence, op);
      last = sequence;
      writer.finish(sequence);
    });
    if (options.wantsRules && op.object === 'rule' && 'expressions' in op) writer.addFlags(NLM_F.ECHO);
  }
  if (steps.size === 0) return [];
  writer.addFlags(NLM_F.ACK);
  writeBatchEdge(writer, NFNL_MSG_BATCH.END, conn.nextSequence());
  conn.reserveSendBuffer(writer.length);
  return judge(conn, writer.bytes(), { steps, last });
}

function writeBatchEdge(writer: MessageWriter, type: number, sequence: number, generation?: number): void {
  writer.message(type, NLM_F.REQUEST);
  // struct nfgenmsg: the family is free, the subsystem is in network order.
  writer.header(4).writeUInt16BE(NFNL_SUBSYS.NFTABLES, 2);
  if (generation !== undefined) writer.u32be(NFNL_BATCH_GENID, generation);
  writer.finish(sequence);
}

interface Batch {
  steps: Map<number, NftOp>;
  /** The message that asks for an acknowledgement. */
  last: number;
}

/** The kernel acknowledges each failed message, and the last one in any case. Gives the rules that it echoed. */
function judge(conn: Nft, datagram: Buffer, { steps, last }: Batch): NftRule[] {
  let isDone = false;
  const general = 'change nftables ruleset';
  const messages = conn.exchange(general, datagram);
  for (const message of messages.filter(isAck)) {
    const step = steps.get(message.sequence);
    const failure = messageError(step === undefined ? general : describeOp(step), message);
    if (failure !== undefined) throw failure;
    if (message.sequence === last) isDone = true;
  }
  if (!isDone) throw new NetlinkError(general, ERRNO.EPROTO, { message: 'the kernel gave no answer' });
  const echo = (NFNL_SUBSYS.NFTABLES << 8) | NFT_MSG.NEWRULE;
  return messages.filter(({ type }) => type === echo).map(({ payload }) => parseRule(payload));
}
