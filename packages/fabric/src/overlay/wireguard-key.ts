import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { isCode, replaceFile } from '@amphipod/linux';
import { isWireguardKey } from '@amphipod/netlink';
import { FabricError } from '../errors.ts';

/** PKCS#8 before the 32 bytes of an X25519 key (RFC 8410). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b656e04220420', 'hex');

/** The two halves of a node's key, in base64. */
export interface WireguardKey {
  readonly privateKey: string;
  readonly publicKey: string;
}

/**
 * This node's key: that of the file, which is made (0400) where there is none. flannel's file and form.
 * @throws FabricError `invalid-config` for a file that holds no key
 */
export function readWireguardKey(file: string): WireguardKey {
  let text: string | undefined;
  try {
    text = readFileSync(file, 'latin1').trim();
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error;
  }
  if (text === undefined) {
    text = newPrivateKey();
    mkdirSync(dirname(file), { recursive: true, mode: 0o755 });
    replaceFile(file, text, { mode: 0o400 });
  }
  if (!isWireguardKey(text)) {
    throw new FabricError(
      'invalid-config',
      `read WireGuard key ${JSON.stringify(file)}: must be 32 bytes in base64, as "wg genkey" writes them`,
    );
  }
  return { privateKey: text, publicKey: publicKeyOf(text) };
}

/** `wg genkey` */
function newPrivateKey(): string {
  const key = randomBytes(32);
  // RFC 7748, section 5
  key[0]! &= 248;
  key[31] = (key[31]! & 127) | 64;
  return key.toString('base64');
}

/** `wg pubkey` */
export function publicKeyOf(privateKey: string): string {
  const der = Buffer.concat([PKCS8_PREFIX, Buffer.from(privateKey, 'base64')]);
  const { x } = createPublicKey(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })).export({
    format: 'jwk',
  });
  return Buffer.from(x!, 'base64url').toString('base64');
}
