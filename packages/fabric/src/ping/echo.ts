import { randomInt } from 'node:crypto';
import { errnoInfo, IcmpSocket, SyscallError } from '@amphipod/linux';
import { formatIp, type IpAddress, ipFromBytes, ipToBytes } from '@amphipod/netlink';
import { echoRequest, type IcmpAnswer, parseIcmp } from './icmp.ts';

const TRIES = 3;
const TRY_MS = 400;
/** Sizes that are tried at once when the largest is looked for. */
const SEARCH_WIDTH = 12;

/** What became of echo requests of one size. */
export type EchoOutcome =
  | { result: 'answered'; ms: number }
  | { result: 'silent' }
  /** `by`: whose link it does not fit; `mtu` 0: that is not known. */
  | { result: 'too-big'; by: string; mtu: number }
  | { result: 'unreachable'; by: string; why: string }
  /** This machine does not send it. */
  | { result: 'not-sent'; code: string; why: string };

export interface EchoOptions {
  to: IpAddress;
  /** Address of this machine to send from; what the route says unless given. */
  source?: IpAddress;
}

/** Sends echo requests, which nobody may fragment, to one address. Needs root. */
export class EchoProbe implements Disposable {
  readonly #options: EchoOptions;
  readonly #socket: IcmpSocket;
  readonly #id = randomInt(0x10000);
  #sequence = 0;

  /** @throws SyscallError EPERM, EADDRNOTAVAIL */
  constructor(options: EchoOptions) {
    this.#options = options;
    const { to, source } = options;
    this.#socket = new IcmpSocket({
      family: to.family,
      ...(source !== undefined && { source: ipToBytes(source) }),
    });
  }

  /** Up to three packets of one size. @param packetBytes with the IP header */
  async probe(packetBytes: number): Promise<EchoOutcome> {
    return (await this.#probeAll([packetBytes])).get(packetBytes)!;
  }

  /** The largest packet below `above` that comes back, when one of `least` bytes does. */
  async largest(least: number, above: number): Promise<number> {
    let [low, high] = [least, above];
    while (high - low > 1) {
      const step = Math.max(1, Math.ceil((high - low) / (SEARCH_WIDTH + 1)));
      const sizes: number[] = [];
      for (let size = low + step; size < high; size += step) sizes.push(size);
      const outcomes = await this.#probeAll(sizes);
      const passed = sizes.filter((size) => outcomes.get(size)?.result === 'answered');
      low = passed.at(-1) ?? low;
      high = sizes.find((size) => size > low) ?? high;
    }
    return low;
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }

  async #probeAll(sizes: readonly number[]): Promise<Map<number, EchoOutcome>> {
    const outcomes = new Map<number, EchoOutcome>();
    for (let tries = 0; tries < TRIES && outcomes.size < sizes.length; tries++) {
      const sent = new Map<number, number>();
      for (const size of sizes.filter((size) => !outcomes.has(size))) {
        const sequence = this.#nextSequence();
        const failure = this.#send(sequence, size);
        if (failure === undefined) sent.set(sequence, size);
        else outcomes.set(size, failure);
      }
      await this.#collect(sent, outcomes);
    }
    for (const size of sizes) if (!outcomes.has(size)) outcomes.set(size, { result: 'silent' });
    return outcomes;
  }

  #nextSequence(): number {
    this.#sequence = (this.#sequence + 1) & 0xffff;
    return this.#sequence;
  }

  #send(sequence: number, size: number): EchoOutcome | undefined {
    const { to } = this.#options;
    try {
      this.#socket.send(echoRequest(to.family, { id: this.#id, sequence }, size), ipToBytes(to));
      return undefined;
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      if (error.code === 'EMSGSIZE') return { result: 'too-big', by: 'this node', mtu: 0 };
      return { result: 'not-sent', code: error.code, why: errnoInfo(error.errno)[1] };
    }
  }

  /** Takes in answers until each request has one or time is over. */
  async #collect(sent: Map<number, number>, outcomes: Map<number, EchoOutcome>): Promise<void> {
    const startMs = performance.now();
    const leftMs = () => Math.ceil(startMs + TRY_MS - performance.now());
    while (sent.size > 0 && leftMs() > 0) {
      if (!(await this.#socket.waitReadable(leftMs()))) return;
      for (let next = this.#socket.receiveNow(); next !== undefined; next = this.#socket.receiveNow()) {
        const answer = parseIcmp(this.#options.to.family, next.message);
        const size = answer?.id === this.#id ? sent.get(answer.sequence) : undefined;
        if (answer === undefined || size === undefined) continue;
        sent.delete(answer.sequence);
        outcomes.set(size, outcomeOf(answer, next.from, performance.now() - startMs));
      }
    }
  }
}

function outcomeOf(answer: IcmpAnswer, from: Buffer, ms: number): EchoOutcome {
  const by = formatIp(ipFromBytes(from));
  switch (answer.type) {
    case 'reply':
      return { result: 'answered', ms };
    case 'too-big':
      return { result: 'too-big', by, mtu: answer.mtu };
    case 'unreachable':
      return { result: 'unreachable', by, why: answer.why };
  }
}
