import { decodeResult } from './decode-result.ts';
import { CniError } from './errors.ts';
import { describeJson, isJsonObject, type JsonObject, parseJson } from './json.ts';
import { validateNetworkName } from './names.ts';
import type { AttachmentId, NetConf } from './plugin.ts';
import type { Result } from './result.ts';
import { defaultVersion } from './versions.ts';

/** What came on stdin, as far as the reference looks at it before it looks at the command. */
export interface SkelInput {
  text: string;
  /** The name of the network is valid. */
  object: JsonObject & { name: string };
  prevResult: unknown;
}

interface StdinSource {
  readStdin(): string | Promise<string>;
}

/** @throws CniError io-failure, decoding-failure, invalid-network-config */
export async function readStdin(io: StdinSource): Promise<SkelInput> {
  const text = await readText(io);
  const { prevResult, ...object } = parseConfig(text);
  const name = stringOf(object, 'name');
  validateNetworkName(name);
  return { text, object: { ...object, name }, prevResult };
}

/** @throws CniError decoding-failure */
export function expectVersion({ object }: SkelInput): NetConf {
  const cniVersion = stringOf(object, 'cniVersion') || defaultVersion;
  return { ...object, type: stringOf(object, 'type'), cniVersion };
}

/** @throws CniError decoding-failure */
export function decodePrevious(prevResult: unknown, cniVersion: string): Result | undefined {
  if (prevResult === undefined || prevResult === null) return undefined;
  try {
    return decodeResult(prevResult, cniVersion);
  } catch (cause) {
    throw new CniError('decoding-failure', `could not parse prevResult: ${(cause as Error).message}`, {
      cause,
    });
  }
}

/**
 * Undefined when the runtime names none. A list that cannot be read is an error, as everything would be stale without it.
 * @throws CniError decoding-failure
 */
export function decodeValidAttachments(config: NetConf): readonly AttachmentId[] | undefined {
  const key = 'cni.dev/valid-attachments';
  // The second name is that of libcni before the specification had one.
  const value = config[key] ?? config['cni.dev/attachments'];
  if (value === undefined || value === null) return undefined;
  const fail = (where: string, got: unknown, wanted: string): never => {
    throw new CniError(
      'decoding-failure',
      `decode "${key}"${where}: got ${describeJson(got)}, want ${wanted}`,
    );
  };
  if (!Array.isArray(value)) return fail('', value, 'a list');
  return value.map((item, i) => {
    const { containerID, ifname } = isJsonObject(item) ? item : {};
    if (typeof containerID !== 'string' || typeof ifname !== 'string') {
      return fail(`[${i}]`, item, 'containerID and ifname');
    }
    return { containerID, ifName: ifname };
  });
}

async function readText(io: StdinSource): Promise<string> {
  try {
    return await io.readStdin();
  } catch (cause) {
    throw new CniError('io-failure', `error reading from stdin: ${(cause as Error).message}`, { cause });
  }
}

function parseConfig(text: string): JsonObject {
  let object: unknown;
  try {
    object = parseJson(text);
  } catch (cause) {
    const why = text.trim() === '' ? 'unexpected end of JSON input' : (cause as Error).message;
    throw undecodable(why, cause);
  }
  // As in the reference: the config without keys, whose name is missing.
  if (object === null) return {};
  if (!isJsonObject(object)) throw undecodable(`got ${describeJson(object)}, want an object`);
  return object;
}

/** Empty when it is not there. */
function stringOf(object: JsonObject, key: string): string {
  const value = object[key] ?? '';
  if (typeof value !== 'string') throw undecodable(`key "${key}": got ${describeJson(value)}, want a string`);
  return value;
}

function undecodable(why: string, cause?: unknown): CniError {
  return new CniError('decoding-failure', `error unmarshall network config: ${why}`, { cause });
}
