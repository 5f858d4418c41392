import { ImageError } from '../errors.ts';
import { readConfigFile } from '../registry/config-file.ts';
import { objectOf, type Wrong } from './policy-value.ts';
import { parseIdentity, type SignedIdentity } from './signed-identity.ts';

/** What an image must be like, one part of it. */
export type Requirement =
  | { type: 'insecureAcceptAnything' }
  | { type: 'reject' }
  | { type: 'sigstoreSigned'; keys: KeySource[]; signedIdentity: SignedIdentity }
  /** Known to containers' tools, but not here: what it is for is refused. */
  | { type: 'unsupported'; what: string };

/** A public key in PEM, or where to find it. */
export type KeySource = { path: string } | { pem: string };

/** containers-policy.json(5): requirements by transport and scope. */
export interface SignaturePolicy {
  default: Requirement[];
  transports: Record<string, Record<string, Requirement[]>>;
}

/** @throws ImageError invalid-registry-config naming file, key and value */
export function readSignaturePolicy(file: string): SignaturePolicy {
  return parseSignaturePolicy(readConfigFile(file), file);
}

/**
 * Parses a policy.json as containers' tools have it. As there, what is unknown makes the whole file invalid.
 * @param file for messages @throws ImageError invalid-registry-config naming file, key and value
 */
export function parseSignaturePolicy(text: string, file: string): SignaturePolicy {
  const wrong: Wrong = (where, value, rule) => {
    const shown = value === undefined ? '' : ` = ${JSON.stringify(value).slice(0, 200)}`;
    return new ImageError('invalid-registry-config', `read ${file}: ${where}${shown}: ${rule}`);
  };
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    const words = `read ${file}: not JSON: ${(cause as Error).message}`;
    throw new ImageError('invalid-registry-config', words, { cause });
  }
  const policy = objectOf(json, { where: 'the policy', known: ['default', 'transports'], wrong });
  if (policy.default === undefined) throw wrong('default', undefined, 'missing');
  const transports = objectOf(policy.transports ?? {}, { where: 'transports', wrong });
  return {
    default: requirementsOf(policy.default, 'default', wrong),
    transports: Object.fromEntries(
      Object.entries(transports).map(([transport, value]) => {
        const where = `transports[${JSON.stringify(transport)}]`;
        const scopes = Object.entries(objectOf(value, { where, wrong }));
        return [
          transport,
          Object.fromEntries(
            scopes.map(([scope, list]) => [
              scope,
              requirementsOf(list, `${where}[${JSON.stringify(scope)}]`, wrong),
            ]),
          ),
        ];
      }),
    ),
  };
}

function requirementsOf(value: unknown, where: string, wrong: Wrong): Requirement[] {
  if (!Array.isArray(value) || value.length === 0)
    throw wrong(where, value, 'must be a list with one requirement at least');
  return value.map((item, i) => requirementOf(item, `${where}[${i}]`, wrong));
}

const keyFields = ['keyPath', 'keyPaths', 'keyData', 'keyDatas'] as const;
/** What sigstoreSigned may hold elsewhere: certificates instead of keys, and proofs of a transparency log. */
const unsupportedFields = [
  'fulcio',
  'pki',
  'rekorPublicKeyPath',
  'rekorPublicKeyPaths',
  'rekorPublicKeyData',
  'rekorPublicKeyDatas',
];

function requirementOf(value: unknown, where: string, wrong: Wrong): Requirement {
  const { type } = objectOf(value, { where, wrong });
  switch (type) {
    case 'insecureAcceptAnything':
    case 'reject':
      objectOf(value, { where, known: ['type'], wrong });
      return { type };
    case 'signedBy':
      return { type: 'unsupported', what: 'signedBy (signatures by GPG keys)' };
    case 'signedBaseLayer':
      return { type: 'unsupported', what: type };
    case 'sigstoreSigned':
      return sigstoreSigned(value, where, wrong);
    default:
      throw wrong(
        `${where}.type`,
        type,
        'must be insecureAcceptAnything, reject, sigstoreSigned, signedBy or signedBaseLayer',
      );
  }
}

function sigstoreSigned(value: unknown, where: string, wrong: Wrong): Requirement {
  const table = objectOf(value, {
    where,
    known: ['type', ...keyFields, 'signedIdentity', ...unsupportedFields],
    wrong,
  });
  const signedIdentity = parseIdentity(table.signedIdentity, `${where}.signedIdentity`, wrong);
  const unsupported = unsupportedFields.find((field) => table[field] !== undefined);
  if (unsupported !== undefined)
    return { type: 'unsupported', what: `sigstoreSigned with ${unsupported}: only public keys are checked` };
  const given = keyFields.filter((field) => table[field] !== undefined);
  if (given.length !== 1)
    throw wrong(where, undefined, `needs exactly one of ${keyFields.join(', ')}; it has ${given.length}`);
  const field = given[0]!;
  return { type: 'sigstoreSigned', signedIdentity, keys: keysOf(table[field], { field, where, wrong }) };
}

function keysOf(
  value: unknown,
  { field, where, wrong }: { field: (typeof keyFields)[number]; where: string; wrong: Wrong },
): KeySource[] {
  const isList = field.endsWith('s');
  const list = isList ? value : [value];
  if (!Array.isArray(list) || list.length === 0)
    throw wrong(`${where}.${field}`, value, 'must be a list of texts');
  return list.map((item): KeySource => {
    if (field.startsWith('keyPath')) {
      if (typeof item !== 'string' || !item.startsWith('/'))
        throw wrong(`${where}.${field}`, item, 'must be an absolute path');
      return { path: item };
    }
    const pem = typeof item === 'string' ? Buffer.from(item, 'base64').toString('latin1') : '';
    if (!pem.includes('-----BEGIN'))
      throw wrong(`${where}.${field}`, item, 'must be base64 of a public key in PEM');
    return { pem };
  });
}
