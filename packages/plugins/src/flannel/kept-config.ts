import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type AttachmentId, isJsonObject, type NetConf, parseJson, stringifyJson } from '@amphipod/cni';
import { isCode, replaceFile } from '@amphipod/linux';

/** A configuration that a delegate was given at ADD, kept so that DEL says the same whatever changed since. */
export interface KeptConfig {
  path: string;
  /** Undefined for a file that holds none. */
  config: NetConf | undefined;
}

/** `CONTAINER:IFNAME`: no container id has a colon. flannel's plugin has the id alone, so that two interfaces collide. */
function pathOf(dataDir: string, { containerID, ifName }: AttachmentId): string {
  return join(dataDir, `${containerID}:${ifName}`);
}

/** Keeps a configuration (0600), whole or not at all. */
export function keepConfig(dataDir: string, id: AttachmentId, config: NetConf): void {
  mkdirSync(dataDir, { recursive: true, mode: 0o700 });
  replaceFile(pathOf(dataDir, id), stringifyJson(config), { mode: 0o600, durable: true });
}

/** What was kept at ADD, by us or by flannel's own plugin; undefined when there is nothing. */
export function findKept(dataDir: string, id: AttachmentId): KeptConfig | undefined {
  return read(pathOf(dataDir, id)) ?? read(join(dataDir, id.containerID));
}

/** All that we kept, with whose it is. */
export function listKept(dataDir: string): (KeptConfig & AttachmentId)[] {
  let names: string[];
  try {
    names = readdirSync(dataDir);
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
  return names.flatMap((name) => {
    const [containerID, ifName] = name.split(':');
    const kept = ifName === undefined || name.endsWith('.tmp') ? undefined : read(join(dataDir, name));
    return kept === undefined ? [] : [{ ...kept, containerID: containerID!, ifName: ifName! }];
  });
}

/** What a process left that was killed while it kept a configuration. */
export function removeUnfinished(dataDir: string, id: AttachmentId): void {
  rmSync(`${pathOf(dataDir, id)}.tmp`, { force: true });
}

export function removeKept({ path }: KeptConfig): void {
  rmSync(path, { force: true });
}

function read(path: string): KeptConfig | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
  return { path, config: parse(text) };
}

function parse(text: string): NetConf | undefined {
  try {
    const value = parseJson(text);
    if (!isJsonObject(value)) return undefined;
    const isWhole = [value.type, value.name, value.cniVersion].every((key) => typeof key === 'string');
    return isWhole ? (value as NetConf) : undefined;
  } catch {
    return undefined;
  }
}
