import { createPublicKey, type KeyObject, verify } from 'node:crypto';
import { ImageError } from '../errors.ts';
import { readConfigFile } from '../registry/config-file.ts';
import type { KeySource } from './policy.ts';

/** A key with the name it has in messages. */
export interface PublicKey {
  name: string;
  key: KeyObject;
}

/** @throws ImageError invalid-registry-config for a missing file, or a key of an unknown kind */
export function loadPublicKey(source: KeySource): PublicKey {
  const name = 'path' in source ? source.path : 'the key in keyData';
  const pem = 'path' in source ? readConfigFile(source.path) : source.pem;
  // Of a private key, node:crypto would quietly derive the public one.
  if (/PRIVATE KEY-----/.test(pem)) throw wrong(name, 'it is a private key, not a public one');
  let key: KeyObject;
  try {
    key = createPublicKey(pem);
  } catch (cause) {
    throw wrong(name, (cause as Error).message, cause);
  }
  const type = key.asymmetricKeyType ?? '';
  if (!['ec', 'rsa', 'ed25519'].includes(type)) throw wrong(name, `keys of type ${type} are not supported`);
  return { name, key };
}

/** True when `signature` of `payload` was made with the other half of the key, in one of the ways that cosign makes them. */
export function isSignedBy({ key }: PublicKey, payload: Buffer, signature: Buffer): boolean {
  const hashes = hashesFor(key);
  return hashes.some((hash) => {
    try {
      return verify(hash, payload, key, signature);
    } catch {
      // Not even the form of a signature by this kind of key.
      return false;
    }
  });
}

function hashesFor(key: KeyObject): (string | null)[] {
  if (key.asymmetricKeyType === 'ed25519') return [null];
  switch (key.asymmetricKeyDetails?.namedCurve) {
    // Up to version 2 cosign takes SHA-256 with every curve.
    case 'secp384r1':
      return ['sha256', 'sha384'];
    case 'secp521r1':
      return ['sha256', 'sha512'];
    default:
      return ['sha256'];
  }
}

function wrong(name: string, cause: string, error?: unknown): ImageError {
  return new ImageError('invalid-registry-config', `read public key ${name}: ${cause}`, { cause: error });
}
