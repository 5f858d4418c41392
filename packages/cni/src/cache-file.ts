import type { Attachment } from './attachment.ts';
import { decodeResult } from './decode-result.ts';
import { CniError } from './errors.ts';
import { isJsonObject, type JsonObject, parseJson } from './json.ts';
import type { NetworkConfigList } from './network-config.ts';
import { parseNetworkConfig, parseNetworkConfigList } from './parse-network-config.ts';
import type { Result } from './result.ts';

/** Marks a file of libcni since its version 0.8; one without holds the result alone. */
export const KIND = 'cniCacheV1';

/** An attachment as the result cache knows it. */
export interface CachedAttachment extends Attachment {
  network: string;
}

/** One file of the cache. */
export interface CacheEntry {
  attachment: CachedAttachment;
  /** Undefined for a file of an older libcni, which holds the result alone. */
  list: NetworkConfigList | undefined;
  /** As it stands in the file; undefined when the ADD failed. */
  rawResult: unknown;
}

/** Whose file it is, an old one does not say. */
type DecodedCacheFile = Omit<CacheEntry, 'attachment'> & { attachment: CachedAttachment | undefined };

/** Reads a list from the base64 text of its bytes; undefined when that cannot be read any more. */
type ListDecoder = (config: string) => NetworkConfigList | undefined;

/** Reads lists without reading the same list again for each pod of a network. */
export function listDecoder(): ListDecoder {
  let last: { config: string; list: NetworkConfigList | undefined } | undefined;
  return (config) => {
    if (last?.config !== config) last = { config, list: decodeConfig(config) };
    return last.list;
  };
}

/** Reads the text of a cache file. @throws CniError decoding-failure */
export function decodeCacheFile(path: string, text: string, decodeList: ListDecoder): DecodedCacheFile {
  let object: unknown;
  try {
    object = parseJson(text);
  } catch (cause) {
    throw damaged(path, (cause as Error).message, cause);
  }
  if (!isJsonObject(object)) throw damaged(path, 'it holds no object');
  if (object.kind === KIND) return decodeEntry(path, object, decodeList);
  if (object.kind !== undefined || Object.keys(object).length === 0) throw damaged(path, 'no result in it');
  return { attachment: undefined, list: undefined, rawResult: object };
}

/** The result of an entry. @throws CniError decoding-failure, incompatible-version */
export function resultOf({ rawResult, list }: Omit<CacheEntry, 'attachment'>): Result | undefined {
  if (rawResult === undefined || rawResult === null) return undefined;
  return decodeResult(rawResult, list?.cniVersion ?? '');
}

export function damaged(path: string, why: string, cause?: unknown): CniError {
  return new CniError('decoding-failure', `read cache file ${JSON.stringify(path)}: ${why}`, { cause });
}

function decodeEntry(path: string, object: JsonObject, decodeList: ListDecoder): DecodedCacheFile {
  const { containerId, ifName, networkName, netns = '', config, cniArgs, capabilityArgs, result } = object;
  if (typeof containerId !== 'string' || typeof ifName !== 'string' || typeof networkName !== 'string') {
    throw damaged(path, 'containerId, ifName or networkName is missing');
  }
  if (typeof netns !== 'string') throw damaged(path, 'netns is no path');
  const args = cniArgs ?? undefined;
  if (args !== undefined && !isArgs(args)) throw damaged(path, 'cniArgs are no pairs of strings');
  const attachment: CachedAttachment = {
    network: networkName,
    containerID: containerId,
    ifName,
    netns,
    ...(args !== undefined && { args }),
    ...(isJsonObject(capabilityArgs) && { capabilityArgs }),
  };
  return { attachment, list: typeof config === 'string' ? decodeList(config) : undefined, rawResult: result };
}

function isArgs(value: unknown): value is [string, string][] {
  return (
    Array.isArray(value) &&
    value.every(
      (pair) => Array.isArray(pair) && pair.length === 2 && pair.every((part) => typeof part === 'string'),
    )
  );
}

function decodeConfig(config: string): NetworkConfigList | undefined {
  const text = Buffer.from(config, 'base64').toString();
  // The second is what libcni's AddNetwork writes, which attaches by a single plugin.
  for (const parse of [parseNetworkConfigList, parseNetworkConfig]) {
    try {
      return parse(text);
    } catch {
      // The caller's list will do.
    }
  }
  return undefined;
}
