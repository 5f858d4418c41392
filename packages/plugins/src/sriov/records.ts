import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isCode, isNamespace, isPciAddress, namespaceId, replaceFile } from '@amphipod/linux';
import type { VfSettings } from '@amphipod/netlink';
import type { Owner } from '../lib/owner.ts';
import { defaultPlaces, type Places } from './places.ts';

/** Who has a virtual function, and what it was like before: written before the first change, removed after the last. */
export interface DeviceRecord {
  address: string;
  owner: Owner;
  netns: string;
  /** Of the namespace: another one can come to stand at the same path. */
  netnsId: string;
  /** Settings of an earlier boot are not there any more. */
  bootId: string;
  /** What the physical function said. */
  vf: Required<Pick<VfSettings, 'mac' | 'vlan' | 'rate' | 'linkState'>> & VfSettings;
  /** What this attachment asks for. */
  wanted: VfSettings;
  /** Its interface on the host; absent where a driver for user space has it. */
  netdev?: { name: string; mac: string; mtu: number; up: boolean };
}

export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
}

const recordDir = ({ stateDir }: Places) => join(stateDir, 'devices');
const recordFile = (places: Places, address: string) => join(recordDir(places), `${address}.json`);
/** The reference's own mark: the file has the path of the namespace. Each of the two plugins heeds the other's. */
const markFile = ({ stateDir }: Places, address: string) => join(stateDir, 'pci', address);

/** The lock file of a device: the reference's. */
export function lockFile({ stateDir }: Places, address: string): string {
  return join(stateDir, 'pci/vf_lock', `${address}.lock`);
}

/** Makes the directories that everything here is in. */
export function makeStateDirs(places: Places): void {
  for (const dir of [recordDir(places), join(places.stateDir, 'pci/vf_lock')]) {
    mkdirSync(dir, { recursive: true, mode: 0o700 });
  }
}

/** Undefined when there is none, it is damaged, or of an earlier boot: then there is nothing to restore. */
export function readRecord(
  places: Places,
  address: string,
  boot: string = bootId(),
): DeviceRecord | undefined {
  const text = readIfThere(recordFile(places, address));
  if (text === undefined) return undefined;
  try {
    const record = JSON.parse(text) as DeviceRecord;
    return record.bootId === boot ? record : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

export function listRecords(places: Places): DeviceRecord[] {
  const boot = bootId();
  return namesIn(recordDir(places))
    .map((name) => name.replace(/\.json$/, ''))
    .filter(isPciAddress)
    .map((address) => readRecord(places, address, boot))
    .filter((record) => record !== undefined);
}

/** Whole or not at all, also when the process ends in the middle. */
export function writeRecord(places: Places, record: DeviceRecord): void {
  replaceFile(recordFile(places, record.address), JSON.stringify(record), { mode: 0o600 });
  writeFileSync(markFile(places, record.address), record.netns, { mode: 0o600 });
}

export function removeRecord(places: Places, address: string): void {
  rmSync(markFile(places, address), { force: true });
  rmSync(recordFile(places, address), { force: true });
}

/** The pod is there: its namespace is that which was noted. */
export function isAlive({ netns, netnsId }: Pick<DeviceRecord, 'netns' | 'netnsId'>): boolean {
  try {
    return isNamespace(netns) && namespaceId(netns) === netnsId;
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}

/** Path of the namespace that the reference's plugin gave the device to, while there is one. */
export function foreignNetns(places: Places, address: string): string | undefined {
  const netns = readIfThere(markFile(places, address))?.trim();
  return netns !== undefined && netns !== '' && isNamespace(netns) ? netns : undefined;
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function namesIn(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return [];
    throw error;
  }
}

/** Who has a virtual function: as the plugin noted it, or the path of the namespace that the reference's plugin gave it to. */
export interface DeviceHolder {
  owner?: Owner;
  netns: string;
  isAlive: boolean;
}

/** Undefined when nobody has it. */
export function deviceHolder(address: string, places: Places = defaultPlaces): DeviceHolder | undefined {
  const record = readRecord(places, address);
  if (record !== undefined) return { owner: record.owner, netns: record.netns, isAlive: isAlive(record) };
  const netns = foreignNetns(places, address);
  return netns === undefined ? undefined : { netns, isAlive: true };
}
