// nf_tables as far as network policy uses it, for tests: takes the steps of transactions and runs packets through the rules.
import {
  formatIp,
  type IpAddress,
  ipToBytes,
  type NftElement,
  type NftExpression,
  type NftMap,
  type NftOp,
  type NftSet,
  type NftVerdict,
} from '@amphipod/netlink';

export interface SimulatedPacket {
  src: IpAddress;
  dst: IpAddress;
  protocol: number;
  srcPort?: number;
  dstPort?: number;
  icmp?: { type: number; code: number };
  /** Bits of `ct state`; new unless given. */
  ctState?: number;
}

interface SimulatedSet {
  set: NftSet | NftMap;
  /** By the text of their keys. */
  elements: Map<string, SimulatedElement>;
}

interface SimulatedElement {
  verdict?: NftVerdict | undefined;
  first: Buffer;
  last: Buffer;
}

interface SimulatedRule {
  expressions: readonly NftExpression[];
  comment?: string | undefined;
}

type Outcome = 'accept' | 'drop' | 'return' | 'continue';

const NEW = 8;
const REGISTER_BYTES = 4;
const typeBytes = { ipv4_addr: 4, ipv6_addr: 16, inet_proto: 1, inet_service: 2, icmpv6_type: 1 } as Record<
  string,
  number
>;

/** One table. Steps that the kernel would refuse throw: what is not there cannot go, what is in use neither. */
export class NftSimulator {
  readonly sets = new Map<string, SimulatedSet>();
  readonly chains = new Map<string, SimulatedRule[]>();
  /** How many rules and set look-ups the last packet took. */
  steps = 0;
  /** The comment of the rule that dropped the last packet. */
  droppedBy: string | undefined;

  run(ops: readonly NftOp[]): void {
    for (const op of ops) this.#runOp(op);
  }

  /** What becomes of a packet that is forwarded. */
  forward(packet: SimulatedPacket): 'accept' | 'drop' {
    this.steps = 0;
    this.droppedBy = undefined;
    return this.#chain('forward', packet) === 'drop' ? 'drop' : 'accept';
  }

  #runOp(op: NftOp): void {
    switch (op.object) {
      case 'table':
        if (op.op === 'delete') {
          this.sets.clear();
          this.chains.clear();
        }
        break;
      case 'set':
      case 'map':
        if (op.op === 'delete') {
          this.#refuseIf(
            this.#isReferred(
              ({ expr, ...rest }) => expr === 'lookup' && 'set' in rest && rest.set === op.set,
            ),
            op,
          );
          this.#refuseIf(!this.sets.delete(op.set), op);
        } else if ('key' in op) {
          this.#refuseIf(this.sets.has(op.set), op);
          this.sets.set(op.set, { set: op, elements: new Map() });
        }
        break;
      case 'chain':
        this.#runChainOp(op);
        break;
      case 'rule': {
        const chain = this.chains.get(op.chain);
        if (!('expressions' in op)) throw new Error(`${op.op} rule is not simulated`);
        this.#refuseIf(chain === undefined, op);
        const expressions = op.expressions.flatMap((one) => ('expr' in one ? [one] : [...one]));
        for (const one of expressions) {
          if (one.expr === 'lookup') this.#refuseIf(!this.sets.has(one.set), one);
          if (one.expr === 'verdict' && 'chain' in one) this.#refuseIf(!this.chains.has(one.chain), one);
        }
        chain!.push({ expressions, comment: op.comment });
        break;
      }
      case 'elements':
        for (const element of op.elements) this.#runElement(op.op, op.of.set, element);
    }
  }

  #runChainOp(op: Extract<NftOp, { object: 'chain' }>): void {
    if (op.op === 'add') {
      this.#refuseIf(this.chains.has(op.chain), op);
      this.chains.set(op.chain, []);
    } else if (op.op === 'flush') {
      this.#refuseIf(!this.chains.has(op.chain), op);
      this.chains.set(op.chain, []);
    } else {
      const leadsHere = (verdict: object) => 'chain' in verdict && verdict.chain === op.chain;
      const isInMap = [...this.sets.values()].some(({ elements }) =>
        [...elements.values()].some(({ verdict }) => verdict !== undefined && leadsHere(verdict)),
      );
      this.#refuseIf(isInMap || this.#isReferred(leadsHere), op);
      this.#refuseIf(!this.chains.delete(op.chain), op);
    }
  }

  #isReferred(isIt: (expression: NftExpression) => boolean): boolean {
    return [...this.chains.values()].some((rules) => rules.some(({ expressions }) => expressions.some(isIt)));
  }

  #runElement(op: NftOp['op'], name: string, element: NftElement): void {
    const found = this.sets.get(name);
    this.#refuseIf(found === undefined, { op, name });
    const { elements, set } = found!;
    const text = keyText(element);
    if (op === 'delete') {
      this.#refuseIf(!elements.delete(text), { op, name, text });
      return;
    }
    this.#refuseIf(elements.has(text), { op, name, text });
    if (element.verdict !== undefined && 'chain' in element.verdict) {
      this.#refuseIf(!this.chains.has(element.verdict.chain), element.verdict);
    }
    const [first, last] = rangeOf(set, element);
    const overlaps =
      set.hasIntervals === true &&
      [...elements.values()].some(
        (other) => first.compare(other.last) <= 0 && other.first.compare(last) <= 0,
      );
    this.#refuseIf(overlaps, { op, name, text });
    elements.set(text, { verdict: element.verdict, first, last });
  }

  #refuseIf(isWrong: boolean, what: object): void {
    if (isWrong) throw new Error(`the kernel would refuse ${JSON.stringify(what, plain)}`);
  }

  #chain(name: string, packet: SimulatedPacket): Outcome {
    for (const rule of this.chains.get(name)!) {
      this.steps++;
      const verdict = this.#rule(rule, packet);
      switch (verdict.verdict) {
        case 'jump': {
          const outcome = this.#chain(verdict.chain, packet);
          if (outcome === 'accept' || outcome === 'drop') return outcome;
          break;
        }
        case 'goto': {
          const outcome = this.#chain(verdict.chain, packet);
          return outcome === 'continue' ? 'return' : outcome;
        }
        case 'continue':
          break;
        default:
          if (verdict.verdict === 'drop') this.droppedBy = rule.comment;
          return verdict.verdict;
      }
    }
    return 'continue';
  }

  #rule({ expressions }: SimulatedRule, packet: SimulatedPacket): NftVerdict {
    const registers = Buffer.alloc(16 * REGISTER_BYTES);
    const at = (register: number) => register * REGISTER_BYTES;
    for (const one of expressions) {
      switch (one.expr) {
        case 'meta':
        case 'ct':
        case 'payload': {
          const data = loaded(one, packet);
          if (data === undefined) return { verdict: 'continue' };
          // Registers are filled whole.
          registers.fill(0, at(one.register), at(one.register) + ((data.length + 3) & ~3));
          data.copy(registers, at(one.register));
          break;
        }
        case 'bitwise':
          for (const [index, mask] of one.mask.entries()) {
            const place = at(one.register) + index;
            registers[place] = (registers[place]! & mask) ^ one.xor[index]!;
          }
          break;
        case 'cmp': {
          const from = at(one.register);
          if (!compares(registers.subarray(from, from + one.data.length).compare(one.data), one.op))
            return { verdict: 'continue' };
          break;
        }
        case 'lookup': {
          this.steps++;
          const found = this.#lookup(one.set, registers.subarray(at(one.register)));
          if (one.to === 'verdict' && found !== undefined) return found.verdict!;
          if ((found !== undefined) === (one.isInverted ?? false)) return { verdict: 'continue' };
          break;
        }
        case 'verdict':
          return one;
        case 'counter':
        case 'log':
          break;
        default:
          throw new Error(`${one.expr} is not simulated`);
      }
    }
    return { verdict: 'continue' };
  }

  #lookup(name: string, key: Buffer): SimulatedElement | undefined {
    for (const element of this.sets.get(name)!.elements.values()) {
      const part = key.subarray(0, element.first.length);
      if (part.compare(element.first) >= 0 && part.compare(element.last) <= 0) return element;
    }
    return undefined;
  }
}

function loaded(one: NftExpression, packet: SimulatedPacket): Buffer | undefined {
  if (one.expr === 'meta') {
    if (one.key === 'nfproto') return Buffer.from([packet.src.family === 4 ? 2 : 10]);
    if (one.key === 'l4proto') return Buffer.from([packet.protocol]);
  }
  if (one.expr === 'ct' && one.key === 'state') {
    const state = Buffer.alloc(4);
    state.writeUInt32LE(packet.ctState ?? NEW);
    return state;
  }
  if (one.expr === 'payload') {
    const header = one.base === 'network' ? networkHeader(packet) : transportHeader(packet);
    // Beyond the end of the packet: the rule does not match.
    if (one.offset + one.length > header.length) return undefined;
    return header.subarray(one.offset, one.offset + one.length);
  }
  throw new Error(`${JSON.stringify(one)} is not simulated`);
}

function networkHeader({ src, dst }: SimulatedPacket): Buffer {
  return Buffer.concat([Buffer.alloc(src.family === 4 ? 12 : 8), ipToBytes(src), ipToBytes(dst)]);
}

function transportHeader({ srcPort, dstPort, icmp }: SimulatedPacket): Buffer {
  const header = Buffer.alloc(8);
  if (icmp !== undefined) {
    header[0] = icmp.type;
    header[1] = icmp.code;
  } else if (srcPort !== undefined && dstPort !== undefined) {
    header.writeUInt16BE(srcPort, 0);
    header.writeUInt16BE(dstPort, 2);
  }
  return header;
}

function compares(order: number, op: string): boolean {
  switch (op) {
    case '==':
      return order === 0;
    case '!=':
      return order !== 0;
    case '>=':
      return order >= 0;
    case '<=':
      return order <= 0;
    default:
      throw new Error(`comparison ${op} is not simulated`);
  }
}

function rangeOf({ key: types }: NftSet | NftMap, { key, keyEnd }: NftElement): [Buffer, Buffer] {
  const encode = (values: NftElement['key']) =>
    Buffer.concat(
      values.map((value, index) => {
        const bytes = typeBytes[types[index]!]!;
        if (typeof value === 'object' && 'family' in value) return ipToBytes(value);
        const part = Buffer.alloc(types.length === 1 ? bytes : (bytes + 3) & ~3);
        part.writeUIntBE(value as number, 0, bytes);
        return part;
      }),
    );
  return [encode(key), encode(keyEnd ?? key)];
}

function keyText({ key, keyEnd = key }: NftElement): string {
  return JSON.stringify([key, keyEnd], plain);
}

function plain(_name: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString(16);
  return typeof value === 'object' && value !== null && 'family' in value && 'value' in value
    ? formatIp(value as IpAddress)
    : value;
}
