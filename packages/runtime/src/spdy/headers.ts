import { createInflate, type Inflate, constants as zlib } from 'node:zlib';
import { headerDictionary, headerDictionaryId } from './dictionary.ts';
import { lengthPrefixed, uint32 } from './length-prefixed.ts';

/** Names in lower case, each with its values. */
export type Headers = Record<string, string>;

/** No request of ours or of a Kubernetes client comes near it. */
const maxHeaderBytes = 64 * 1024;
const deflateWindow = 32 * 1024;

/**
 * The compressor's side of a connection's headers. It does not compress: stored blocks are as valid, need no state of
 * 256 KiB for each connection, and our header blocks have a few dozen bytes.
 */
export class HeaderEncoder {
  #started = false;
  /** Where the decoder's window stands: it begins with the dictionary in it. */
  #position = headerDictionary.length;

  encode(headers: Headers): Buffer {
    let block = headerBlock(headers);
    // spdystream's decoder hands out what it has whenever its window is full and then finds the block one marker too
    // long, which ends the connection. So no block ends there.
    if ((this.#position + block.length) % deflateWindow === 0)
      block = headerBlock({ ...headers, padding: '.' });
    this.#position += block.length;
    const start = this.#started ? [] : [zlibHeader()];
    this.#started = true;
    return Buffer.concat([...start, storedBlock(block), storedBlock(Buffer.alloc(0))]);
  }
}

/** The decompressor's side. Blocks must be decoded in the order in which they came, all of them. */
export class HeaderDecoder implements Disposable {
  readonly #inflate: Inflate = createInflate({ dictionary: headerDictionary, flush: zlib.Z_SYNC_FLUSH });
  #chunks: Buffer[] = [];
  #size = 0;
  #failed: Error | undefined;

  constructor() {
    const fail = (error: Error) => {
      this.#failed ??= error;
    };
    this.#inflate.on('error', fail).on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#size += chunk.length;
      if (this.#size > maxHeaderBytes) this.#inflate.destroy(new Error('read SPDY headers: too many bytes'));
    });
  }

  /** @throws Error when the block is damaged or too large; nothing can be decoded after that */
  async decode(block: Buffer): Promise<Headers> {
    const { promise, resolve } = Promise.withResolvers<void>();
    // After an error there is no call back, just the end.
    this.#inflate.once('close', resolve).write(block, () => resolve());
    await promise;
    this.#inflate.off('close', resolve);
    if (this.#failed !== undefined) throw this.#failed;
    const bytes = Buffer.concat(this.#chunks);
    [this.#chunks, this.#size] = [[], 0];
    return parseHeaderBlock(bytes);
  }

  [Symbol.dispose](): void {
    this.#inflate.destroy();
  }
}

function headerBlock(headers: Headers): Buffer {
  const entries = Object.entries(headers);
  return Buffer.concat([
    uint32(entries.length),
    ...entries.flatMap(([name, value]) => [lengthPrefixed(name), lengthPrefixed(value)]),
  ]);
}

function parseHeaderBlock(bytes: Buffer): Headers {
  if (bytes.length < 4) throw new Error('read SPDY headers: no count');
  const headers: Headers = {};
  let offset = 4;
  const next = () => {
    const end = offset + 4 + (offset + 4 <= bytes.length ? bytes.readUInt32BE(offset) : bytes.length);
    if (end > bytes.length) throw new Error('read SPDY headers: they end too early');
    const text = bytes.toString('utf8', offset + 4, end);
    offset = end;
    return text;
  };
  for (let count = bytes.readUInt32BE(0); count > 0; count--) {
    const name = next().toLowerCase();
    // Values of one name are separated by zero bytes; nobody sends more than one here.
    headers[name] = next().replaceAll('\0', ',');
  }
  return headers;
}

/** RFC 1950: method and window, flags with FDICT set and a multiple of 31 together, the dictionary's checksum. */
function zlibHeader(): Buffer {
  return Buffer.concat([Buffer.from([0x78, 0x20]), uint32(headerDictionaryId)]);
}

/** RFC 1951, 3.2.4: not the last block, not compressed. */
function storedBlock(bytes: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt16LE(bytes.length, 1);
  head.writeUInt16LE(~bytes.length & 0xffff, 3);
  return Buffer.concat([head, bytes]);
}
