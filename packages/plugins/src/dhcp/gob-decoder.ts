import {
  basicTypeIds,
  type GobObject,
  type GobType,
  type GobValue,
  isGobStruct,
  wireType,
} from './gob-types.ts';

/** Larger than any configuration; a peer that announces more is not one of ours. */
const MAX_MESSAGE_BYTES = 8 * 1024 * 1024;
const MAX_DEPTH = 32;

interface TypeDescription {
  elements?: number;
  fields?: readonly { name: string; id: number }[];
}

/** Reads one stream of gob messages. Values come as the sender describes them, whatever else its types hold. */
export class GobDecoder {
  #pending: Buffer = Buffer.alloc(0);
  readonly #types = new Map<number, TypeDescription>();

  push(bytes: Uint8Array): void {
    this.#pending = Buffer.concat([this.#pending, bytes]);
  }

  /** The next value; undefined when more bytes are needed. @throws RangeError for what is not gob, or beyond the subset */
  next(): GobObject | undefined {
    for (;;) {
      const body = this.#takeMessage();
      if (body === undefined) return undefined;
      const reader = new Reader(body);
      const id = reader.int();
      if (id >= 0) {
        const value = this.#value(reader, id);
        if (typeof value !== 'object' || Array.isArray(value))
          throw new RangeError('read gob: a value is no struct');
        return value as GobObject;
      }
      this.#types.set(-id, readDescription(reader));
    }
  }

  #takeMessage(): Buffer | undefined {
    const first = this.#pending[0];
    if (first === undefined) return undefined;
    const lengthBytes = first < 128 ? 1 : 257 - first;
    if (this.#pending.length < lengthBytes) return undefined;
    const length = new Reader(this.#pending).uint();
    if (length > MAX_MESSAGE_BYTES) throw new RangeError(`read gob: a message of ${length} bytes`);
    if (this.#pending.length < lengthBytes + length) return undefined;
    const body = this.#pending.subarray(lengthBytes, lengthBytes + length);
    this.#pending = this.#pending.subarray(lengthBytes + length);
    return body;
  }

  #value(reader: Reader, id: number, depth = 0): GobValue {
    if (depth > MAX_DEPTH) throw new RangeError('read gob: nested too deeply');
    switch (id) {
      case basicTypeIds.bool:
        return reader.uint() !== 0;
      case basicTypeIds.int:
        return reader.int();
      case basicTypeIds.uint:
        return reader.uint();
      case basicTypeIds.bytes:
        return reader.bytes();
      case basicTypeIds.string:
        return reader.bytes().toString();
    }
    const type = this.#types.get(id);
    if (type?.fields !== undefined) {
      const { fields } = type;
      return readStruct(reader, (number) => {
        const field = fields[number];
        if (field === undefined) throw new RangeError(`read gob: no field ${number}`);
        return [field.name, this.#value(reader, field.id, depth + 1)];
      });
    }
    const { elements } = type ?? {};
    if (elements === undefined) throw new RangeError(`read gob: type ${id} is not known`);
    return reader.list(() => this.#value(reader, elements, depth + 1));
  }
}

/** Bytes of one message. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  uint(): number {
    const first = this.#take(1)[0]!;
    if (first < 128) return first;
    const length = 256 - first;
    if (length > 8) throw new RangeError('read gob: a number of more than 8 bytes');
    return Number(BigInt(`0x${this.#take(length).toString('hex')}`));
  }

  int(): number {
    const value = this.uint();
    return value % 2 === 0 ? value / 2 : -(value - 1) / 2 - 1;
  }

  bytes(): Buffer {
    return this.#take(this.uint());
  }

  list<T>(readElement: () => T): T[] {
    const length = this.uint();
    if (length > this.#bytes.length - this.#at)
      throw new RangeError('read gob: a list is longer than its message');
    return Array.from({ length }, readElement);
  }

  #take(length: number): Buffer {
    if (this.#at + length > this.#bytes.length) throw new RangeError('read gob: a message ends too early');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}

function readStruct(
  reader: Reader,
  readField: (number: number) => readonly [name: string, value: GobValue],
): GobObject {
  const entries: (readonly [string, GobValue])[] = [];
  let number = -1;
  for (let delta = reader.uint(); delta !== 0; delta = reader.uint()) {
    number += delta;
    entries.push(readField(number));
  }
  return Object.fromEntries(entries);
}

function readDescription(reader: Reader): TypeDescription {
  const { SliceT, StructT } = readKnown(reader, wireType) as {
    SliceT?: { Elem: number };
    StructT?: { Field?: { Name: string; Id: number }[] };
  };
  if (StructT !== undefined) {
    return { fields: (StructT.Field ?? []).map(({ Name, Id }) => ({ name: Name, id: Id })) };
  }
  // Arrays, maps and types with an encoding of their own: no message of this protocol has them.
  return SliceT === undefined ? {} : { elements: SliceT.Elem };
}

/** A value of a type that both sides know beforehand. */
function readKnown(reader: Reader, type: GobType): GobValue {
  if (typeof type === 'string') {
    if (type === 'int') return reader.int();
    return type === 'string' ? reader.bytes().toString() : reader.uint();
  }
  if (!isGobStruct(type)) return reader.list(() => readKnown(reader, type.elements));
  return readStruct(reader, (number) => {
    const field = type.fields[number];
    if (field === undefined) throw new RangeError('read gob: a kind of type that is not known');
    return [field[0], readKnown(reader, field[1])];
  });
}
