import type { Random } from './random.ts';

/** JSON as values, with texts of numbers that a JavaScript number would change. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json } | RawText;

/** Stands in the text as it is. */
export class RawText {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

const longText = 'x'.repeat(5000);
const nastyTexts = [
  '',
  ' ',
  '.',
  '..',
  '/',
  '../../x',
  'a\0b',
  '\ud800',
  '\udfff\ud800',
  'é'.repeat(20),
  '\n',
  'eth0',
  '__proto__',
  'constructor',
  '0',
  '-1',
  '1.1.0',
  '1.0',
  '99.0.0',
  'true',
  '10.1.2.3',
  '10.1.2.3/24',
  '10.1.2.3/33',
  '0.0.0.0/0',
  '255.255.255.255/32',
  'fd00::1',
  'fd00::1/64',
  '::/0',
  '::ffff:1.2.3.4/96',
  'fe80::1%eth0',
  '1.2.3.4/-1',
  '10.0.0.0/8',
  '02:00:00:00:00:01',
  'ff:ff:ff:ff:ff:ff',
  '%s%n',
  'a;b=c',
  longText,
];
const nastyNumbers = [
  '0',
  '-0',
  '-1',
  '1.5',
  '1e3',
  '1e400',
  '-1e-400',
  '1.0',
  '65535',
  '65536',
  '4294967295',
  '4294967296',
  '9007199254740993',
  '12345678901234567890',
  '123456789'.repeat(40),
];
const extraKeys = [
  '__proto__',
  'constructor',
  'toString',
  'length',
  '',
  'cni.dev/valid-attachments',
  'prevResult',
  'runtimeConfig',
  'args',
  'name',
  'cniVersion',
  'type',
  'ipam',
  'NAME',
  'dns',
];

function nastyValue(random: Random, vocabulary: readonly string[]): Json {
  switch (random.below(9)) {
    case 0:
      return null;
    case 1:
      return random.chance(0.5);
    case 2:
    case 3:
      return new RawText(random.pick(nastyNumbers));
    case 4:
    case 5:
      return random.pick(nastyTexts);
    case 6:
      return random.chance(0.3) ? [] : [nastyValue(random, vocabulary)];
    case 7:
      return random.chance(0.3) ? {} : { [random.pick(vocabulary)]: nastyValue(random, vocabulary) };
    default:
      return nested(random.pick([3, 50, 1000]), random.chance(0.5));
  }
}

function nested(depth: number, inObjects: boolean): Json {
  const open = inObjects ? '{"a":' : '[';
  const close = inObjects ? '}' : ']';
  return new RawText(`${open.repeat(depth)}1${close.repeat(depth)}`);
}

/** A changed copy: one to four nodes of other types, keys added, removed, repeated or renamed, lists longer or shorter. */
export function mutate(value: Json, random: Random, vocabulary: readonly string[]): Json {
  let changed = value;
  for (let i = random.below(4); i >= 0; i--) changed = mutateOnce(changed, random, vocabulary);
  return changed;
}

function mutateOnce(value: Json, random: Random, vocabulary: readonly string[]): Json {
  const isLeaf = typeof value !== 'object' || value === null || value instanceof RawText;
  if (isLeaf || random.chance(0.15))
    return isLeaf ? mutateLeaf(value, random, vocabulary) : mutateNode(value, random, vocabulary);
  if (Array.isArray(value)) {
    if (value.length === 0) return mutateNode(value, random, vocabulary);
    const at = random.below(value.length);
    return value.map((item, i) => (i === at ? mutateOnce(item, random, vocabulary) : item));
  }
  const keys = Object.keys(value);
  if (keys.length === 0) return mutateNode(value, random, vocabulary);
  const at = random.pick(keys);
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      key === at ? mutateOnce(item, random, vocabulary) : item,
    ]),
  );
}

function mutateLeaf(value: Json, random: Random, vocabulary: readonly string[]): Json {
  if (typeof value !== 'string' || value === '' || random.chance(0.6)) return nastyValue(random, vocabulary);
  const at = random.below(value.length + 1);
  const piece = random.pick(nastyTexts).slice(0, 40);
  return random.chance(0.5)
    ? value.slice(0, at) + piece + value.slice(at)
    : value.slice(0, at) + value.slice(at + 1);
}

function mutateNode(
  value: Json[] | { [key: string]: Json },
  random: Random,
  vocabulary: readonly string[],
): Json {
  if (random.chance(0.2)) return nastyValue(random, vocabulary);
  if (Array.isArray(value)) {
    switch (random.below(3)) {
      case 0:
        return value.slice(1);
      case 1:
        return [...value, ...value.slice(0, 20)];
      default:
        return [...value, nastyValue(random, vocabulary)];
    }
  }
  const entries = Object.entries(value);
  if (random.chance(0.3))
    return Object.fromEntries(entries.filter((_entry, i) => i !== random.below(entries.length)));
  const key = random.chance(0.3) ? random.pick(extraKeys) : random.pick(vocabulary);
  return Object.fromEntries([...entries, [key, nastyValue(random, vocabulary)]]);
}

/** The text of a value; now and then with a key twice, cut off, or with a byte that does not belong there. */
export function textOf(value: Json, random: Random): string {
  const text = stringify(value, random);
  if (random.chance(0.93)) return text;
  const at = random.below(text.length + 1);
  switch (random.below(4)) {
    case 0:
      return text.slice(0, at);
    case 1:
      return (
        text.slice(0, at) + random.pick(['\0', '"', '{', ']', ',', '\\', '\ufeff', '//']) + text.slice(at)
      );
    case 2:
      return text + random.pick(['x', '{}', ' ', '\0', '\n\n']);
    default:
      return text.slice(0, at) + text.slice(at + 1);
  }
}

function stringify(value: Json, random: Random): string {
  if (value instanceof RawText) return value.text;
  if (Array.isArray(value)) return `[${value.map((item) => stringify(item, random)).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value).map(
    ([key, item]) => `${JSON.stringify(key)}:${stringify(item, random)}`,
  );
  if (members.length > 0 && random.chance(0.03)) members.push(random.pick(members));
  return `{${members.join(',')}}`;
}
