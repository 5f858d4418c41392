import {
  basicTypeIds,
  firstUserTypeId,
  type GobObject,
  type GobStruct,
  type GobType,
  type GobValue,
  isGobStruct,
  wireType,
} from './gob-types.ts';

/** Writes one stream of gob messages: a type is described before its first value, and only then. */
export class GobEncoder {
  readonly #ids = new Map<GobType, number>();

  /** The messages for one value, descriptions of new types first. */
  encode(type: GobStruct, value: GobObject): Buffer {
    const descriptions: Buffer[] = [];
    const id = this.#describe(type, descriptions);
    return Buffer.concat([...descriptions, message(encodeInt(id), encodeStruct(type, value))]);
  }

  #describe(type: GobType, descriptions: Buffer[]): number {
    if (typeof type === 'string') return basicTypeIds[type];
    const known = this.#ids.get(type);
    if (known !== undefined) return known;
    const id = firstUserTypeId + this.#ids.size;
    this.#ids.set(type, id);
    const description: GobObject = isGobStruct(type)
      ? {
          StructT: {
            CommonType: { Name: type.name, Id: id },
            Field: type.fields.map(([Name, of]) => ({ Name, Id: this.#describe(of, descriptions) })),
          },
        }
      : { SliceT: { CommonType: { Id: id }, Elem: this.#describe(type.elements, descriptions) } };
    descriptions.push(message(encodeInt(-id), encodeStruct(wireType, description)));
    return id;
  }
}

function message(...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([encodeUint(body.length), body]);
}

function encodeStruct({ fields }: GobStruct, value: GobObject): Buffer {
  const parts: Buffer[] = [];
  let last = -1;
  for (const [i, [name, type]] of fields.entries()) {
    const field = value[name];
    if (field === undefined || isZero(field)) continue;
    parts.push(encodeUint(i - last), encodeValue(type, field));
    last = i;
  }
  return Buffer.concat([...parts, encodeUint(0)]);
}

function isZero(value: GobValue): boolean {
  if (typeof value === 'object') return 'length' in value && value.length === 0;
  return value === 0 || value === '' || value === false;
}

function encodeValue(type: GobType, value: GobValue): Buffer {
  if (typeof type === 'object') {
    if (isGobStruct(type)) return encodeStruct(type, value as GobObject);
    const list = value as readonly GobValue[];
    return Buffer.concat([encodeUint(list.length), ...list.map((item) => encodeValue(type.elements, item))]);
  }
  switch (type) {
    case 'bool':
      return encodeUint(value === true ? 1 : 0);
    case 'int':
      return encodeInt(value as number);
    case 'uint':
      return encodeUint(value as number);
    case 'bytes':
    case 'string': {
      const bytes = Buffer.from(value as string | Uint8Array);
      return Buffer.concat([encodeUint(bytes.length), bytes]);
    }
  }
}

/** One byte below 128; else the number of bytes, negated, and the bytes, most significant first. */
function encodeUint(value: number): Buffer {
  if (value < 128) return Buffer.from([value]);
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
  return Buffer.concat([Buffer.from([256 - bytes.length]), bytes]);
}

/** The sign goes to the lowest bit. */
function encodeInt(value: number): Buffer {
  return encodeUint(value < 0 ? -(value + 1) * 2 + 1 : value * 2);
}
