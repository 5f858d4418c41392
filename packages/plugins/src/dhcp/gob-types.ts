/**
 * The part of Go's gob format (https://pkg.go.dev/encoding/gob) that the messages between a DHCP plugin and its daemon need:
 * numbers, strings, bytes, lists and structs. Numbers of types are those of that document.
 */
export type GobType = GobBasic | GobStruct | GobSlice;

export type GobBasic = 'bool' | 'int' | 'uint' | 'bytes' | 'string';

export interface GobStruct {
  name: string;
  /** In the order in which they are numbered. */
  fields: readonly (readonly [name: string, type: GobType])[];
}

export interface GobSlice {
  elements: GobType;
}

/** A struct's value: fields that are zero may be absent. */
export type GobObject = { readonly [field: string]: GobValue | undefined };
export type GobValue = boolean | number | string | Uint8Array | readonly GobValue[] | GobObject;

export const basicTypeIds: Readonly<Record<GobBasic, number>> = {
  bool: 1,
  int: 2,
  uint: 3,
  bytes: 5,
  string: 6,
};
export const firstUserTypeId = 65;

const commonType: GobStruct = {
  name: 'CommonType',
  fields: [
    ['Name', 'string'],
    ['Id', 'int'],
  ],
};
const fieldType: GobStruct = {
  name: 'fieldType',
  fields: [
    ['Name', 'string'],
    ['Id', 'int'],
  ],
};
const common = ['CommonType', commonType] as const;

/** How a type is described on the wire, itself a gob value. */
export const wireType: GobStruct = {
  name: 'wireType',
  fields: [
    ['ArrayT', { name: 'arrayType', fields: [common, ['Elem', 'int'], ['Len', 'int']] }],
    ['SliceT', { name: 'sliceType', fields: [common, ['Elem', 'int']] }],
    ['StructT', { name: 'structType', fields: [common, ['Field', { elements: fieldType }]] }],
    ['MapT', { name: 'mapType', fields: [common, ['Key', 'int'], ['Elem', 'int']] }],
  ],
};

export function isGobStruct(type: GobType): type is GobStruct {
  return typeof type === 'object' && 'fields' in type;
}
