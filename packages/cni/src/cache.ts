import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Attachment } from './attachment.ts';
import { decodeResult } from './decode-result.ts';
import { encodeResult } from './encode-result.ts';
import { CniError } from './errors.ts';
import { isJsonObject, type JsonObject, parseJson, stringifyJson } from './json.ts';
import type { NetworkConfigList } from './network-config.ts';
import { parseNetworkConfigList } from './parse-network-config.ts';
import type { AttachmentId } from './plugin.ts';
import type { Result } from './result.ts';

/** An attachment as the result cache knows it. */
export interface CachedAttachment extends Attachment {
  network: string;
}

const KIND = 'cniCacheV1';

/** One file of the cache. */
export interface CacheEntry {
  attachment: CachedAttachment;
  /** Undefined for a file of an older libcni, which holds the result alone. */
  list: NetworkConfigList | undefined;
  /** As it stands in the file; undefined when the ADD failed. */
  rawResult: unknown;
}

/**
 * The result cache of libcni (`<cacheDir>/results/<network>-<containerID>-<ifName>`), so that runtimes can take over from one
 * another. An ADD that failed and could not be cleaned up leaves a file without a result, for DEL and GC to find. Files
 * appear by rename. They are not synced: after a power failure their interfaces are gone anyway.
 */
export class ResultCache {
  readonly #dir: string;
  #isMade = false;
  #serial = 0;

  constructor(cacheDir: string) {
    this.#dir = join(cacheDir, 'results');
  }

  path(network: string, { containerID, ifName }: AttachmentId): string {
    return join(this.#dir, `${network}-${containerID}-${ifName}`);
  }

  /** @param result absent for what a failed ADD left */
  write(list: NetworkConfigList, attachment: Attachment, result?: Result): void {
    const { containerID, ifName, netns, args, capabilityArgs } = attachment;
    const path = this.path(list.name, attachment);
    const text = stringifyJson({
      kind: KIND,
      containerId: containerID,
      config: Buffer.from(list.bytes).toString('base64'),
      ifName,
      networkName: list.name,
      ...(netns !== '' && { netns }),
      ...(args !== undefined && args.length > 0 && { cniArgs: args }),
      ...(capabilityArgs !== undefined && { capabilityArgs }),
      ...(result !== undefined && { result: encodeResult(result, list.cniVersion) }),
    });
    if (!this.#isMade) mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
    this.#isMade = true;
    const temporary = join(this.#dir, `.${process.pid}.${this.#serial++}.tmp`);
    try {
      writeFileSync(temporary, text, { mode: 0o600 });
      renameSync(temporary, path);
    } catch (cause) {
      this.#isMade = false;
      rmSync(temporary, { force: true });
      throw new CniError(
        'io-failure',
        `write cache file ${JSON.stringify(path)}: ${(cause as Error).message}`,
        {
          cause,
        },
      );
    }
  }

  /** Undefined when there is no file. @throws CniError decoding-failure for a damaged file, or that of another attachment */
  read(network: string, attachment: AttachmentId): CacheEntry | undefined {
    const path = this.path(network, attachment);
    // Asked first, as a thrown ENOENT costs more than all the rest.
    if (!existsSync(path)) return undefined;
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch (cause) {
      throw damaged(path, (cause as Error).message, cause);
    }
    const object = parseFile(path, text);
    if (object.kind !== KIND) {
      if (object.kind !== undefined || Object.keys(object).length === 0)
        throw damaged(path, 'no result in it');
      return { attachment: { ...attachment, netns: '', network }, list: undefined, rawResult: object };
    }
    const entry = decodeEntry(path, object);
    const found = entry.attachment;
    if (
      found.network !== network ||
      found.containerID !== attachment.containerID ||
      found.ifName !== attachment.ifName
    ) {
      throw damaged(path, `it is that of container ${found.containerID}, interface ${found.ifName}`);
    }
    return entry;
  }

  remove(network: string, attachment: AttachmentId): void {
    const path = this.path(network, attachment);
    try {
      unlinkSync(path);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENOENT') return;
      // Something made it a directory.
      if (code !== 'EISDIR' && code !== 'EPERM') throw error;
      rmSync(path, { force: true, recursive: true });
    }
  }

  /** Every attachment with a readable file. Names may hold `-`, so only the content counts. */
  list(containerID?: string): CachedAttachment[] {
    let names: string[];
    try {
      names = readdirSync(this.#dir).sort();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
    const found: CachedAttachment[] = [];
    for (const name of names) {
      if (name.startsWith('.')) continue;
      const attachment = readQuietly(join(this.#dir, name));
      if (attachment !== undefined && (containerID ?? attachment.containerID) === attachment.containerID) {
        found.push(attachment);
      }
    }
    return found;
  }
}

/** The result of an entry. @throws CniError decoding-failure, incompatible-version */
export function resultOf({ rawResult, list }: CacheEntry): Result | undefined {
  if (rawResult === undefined || rawResult === null) return undefined;
  return decodeResult(rawResult, list?.cniVersion ?? '');
}

function readQuietly(path: string): CachedAttachment | undefined {
  try {
    const object = parseFile(path, readFileSync(path, 'utf8'));
    return object.kind === KIND ? decodeEntry(path, object).attachment : undefined;
  } catch {
    return undefined;
  }
}

function parseFile(path: string, text: string): JsonObject {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (cause) {
    throw damaged(path, (cause as Error).message, cause);
  }
  if (!isJsonObject(value)) throw damaged(path, 'it holds no object');
  return value;
}

function decodeEntry(path: string, object: JsonObject): CacheEntry {
  const { containerId, ifName, networkName, netns, config, cniArgs, capabilityArgs, result } = object;
  if (typeof containerId !== 'string' || typeof ifName !== 'string' || typeof networkName !== 'string') {
    throw damaged(path, 'containerId, ifName or networkName is missing');
  }
  const attachment: CachedAttachment = {
    network: networkName,
    containerID: containerId,
    ifName,
    netns: typeof netns === 'string' ? netns : '',
    ...(Array.isArray(cniArgs) && { args: cniArgs as [string, string][] }),
    ...(isJsonObject(capabilityArgs) && { capabilityArgs }),
  };
  return { attachment, list: decodeList(config), rawResult: result };
}

function decodeList(config: unknown): NetworkConfigList | undefined {
  if (typeof config !== 'string') return undefined;
  try {
    return parseNetworkConfigList(Buffer.from(config, 'base64').toString());
  } catch {
    // The caller's list will do.
    return undefined;
  }
}

function damaged(path: string, why: string, cause?: unknown): CniError {
  return new CniError('decoding-failure', `read cache file ${JSON.stringify(path)}: ${why}`, { cause });
}
