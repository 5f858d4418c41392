import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { AttachmentId } from '@amphipod/cni';
import { isJsonObject } from '@amphipod/cni';
import { isCode, replaceFile, type UndoStack } from '@amphipod/linux';
import { isMac } from '@amphipod/netlink';
import type { LinkSettings } from './link-settings.ts';

const MODE = 0o600;

/** The settings of a link before ADD, and whose they are. */
export interface Backup {
  settings: LinkSettings;
  /** `ownerTag`; absent in files of the reference. */
  owner: string | undefined;
  /** Hardware address after ADD, by which the link is known again; absent in files of the reference. */
  tunedMac: string | undefined;
}

/** The reference's path. */
export function backupPath(dataDir: string, { containerID, ifName }: AttachmentId): string {
  return join(dataDir, `${containerID}_${ifName}.json`);
}

/** What is in the file, as it can be read and as it stands there. */
export interface KeptBackup extends Backup {
  text: string;
}

/** Writes the file, whole or not at all; undoing puts back what was there `before`. */
export function writeBackup(undo: UndoStack, path: string, backup: Backup, before: string | undefined): void {
  undo.defer(`restore ${path}`, () => {
    if (before === undefined) rmSync(path, { force: true });
    else replaceFile(path, before, { mode: MODE });
  });
  const text = JSON.stringify(encode(backup), undefined, 1);
  try {
    replaceFile(path, text, { mode: MODE });
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error;
    mkdirSync(join(path, '..'), { recursive: true, mode: 0o700 });
    replaceFile(path, text, { mode: MODE });
  }
}

/** The reference's keys, and two of ours, which it does not mind. */
function encode({ settings, owner, tunedMac }: Backup): object {
  const { mac, promisc, mtu, allMulti, txQueueLength } = settings;
  return { mac, promisc, mtu, allmulti: allMulti, txQLen: txQueueLength, owner, tunedMac };
}

/** Undefined when there is none; without settings when it cannot be read as one. */
export function readBackup(path: string): KeptBackup | undefined {
  const text = readIfThere(path);
  if (text === undefined) return undefined;
  const object = parse(text);
  const typed = <T>(key: string, isRight: (value: unknown) => value is T): T | undefined => {
    const value = object[key];
    return isRight(value) ? value : undefined;
  };
  const isString = (value: unknown): value is string => typeof value === 'string' && value !== '';
  const isBoolean = (value: unknown): value is boolean => typeof value === 'boolean';
  const isNumber = (value: unknown): value is number => Number.isInteger(value) && (value as number) >= 0;
  const mac = typed('mac', (value): value is string => isString(value) && isMac(value));
  const mtu = typed('mtu', isNumber);
  const promisc = typed('promisc', isBoolean);
  const allMulti = typed('allmulti', isBoolean);
  const txQueueLength = typed('txQLen', isNumber);
  return {
    settings: {
      ...(mac !== undefined && { mac }),
      ...(mtu !== undefined && mtu > 0 && { mtu }),
      ...(promisc !== undefined && { promisc }),
      ...(allMulti !== undefined && { allMulti }),
      ...(txQueueLength !== undefined && { txQueueLength }),
    },
    owner: typed('owner', isString),
    tunedMac: typed('tunedMac', isString),
    text,
  };
}

function parse(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value : {};
  } catch {
    return {};
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

/** Removes the file and what an ADD that was killed may have begun. */
export function removeBackup(path: string): void {
  rmSync(path, { force: true });
  rmSync(`${path}.tmp`, { force: true });
}
