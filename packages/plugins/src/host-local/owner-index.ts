import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  rmdirSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { IpAddress } from '@amphipod/netlink';

/** Owner and address of one reservation; the owner's first line is the container. */
export interface IndexEntry {
  owner: string;
  ip: IpAddress;
}

// On tmpfs: after a power cut nothing of an index is worth reading.
const INDEX_DIR = '/run/amphipod/host-local';
const MAGIC = 0x616d7068n;
const HEADER_BYTES = 32;
/** The container's hash, kind, address. */
const SLOT_BYTES = 24;
const MIN_SLOTS = 256;
const SLOTS_PER_READ = 32;
/** Above this share of used slots a search takes too many reads. */
const MAX_LOAD = 0.6;

/** First byte after the hash; an address' family otherwise. */
const EMPTY = 0;
const REMOVED = 255;

/**
 * Which addresses a container has, as a hash table in a file: a question is one read, whatever the number of reservations. It is
 * a cache of a directory of reservations. The directory carries the proof that it is a true one: a modification time that
 * {@link seal} has put on both, and that whoever else changes the directory replaces without knowing.
 *
 * An answer may hold addresses of another container with the same hash: look into the file of each.
 */
export class OwnerIndex implements Disposable {
  readonly #fd: number;
  readonly #path: string;
  #slots: number;
  /** Slots that are not empty, removed ones too. */
  #used: number;
  /** The empty slot where the last search ended, until a slot is written. */
  #end: { hash: number; at: number } | undefined;

  private constructor(path: string, fd: number, { slots, used }: { slots: number; used: number }) {
    this.#path = path;
    this.#fd = fd;
    this.#slots = slots;
    this.#used = used;
  }

  /** The index of a directory; undefined when there is none that is true for `stamp`, the directory's modification time in ns. */
  static open(dirId: string, stamp: bigint): OwnerIndex | undefined {
    return OwnerIndex.#open(dirId, (found) => found === stamp);
  }

  static #open(dirId: string, isTrueFor: (stamp: bigint) => boolean): OwnerIndex | undefined {
    const path = `${INDEX_DIR}/${dirId}`;
    let fd: number;
    try {
      fd = openSync(path, 'r+');
    } catch {
      return undefined;
    }
    const header = Buffer.alloc(HEADER_BYTES);
    const isWhole = readSync(fd, header, 0, HEADER_BYTES, 0) === HEADER_BYTES;
    if (isWhole && header.readBigUInt64LE(0) === MAGIC && isTrueFor(header.readBigUInt64LE(8))) {
      return new OwnerIndex(path, fd, { slots: header.readUInt32LE(16), used: header.readUInt32LE(20) });
    }
    closeSync(fd);
    return undefined;
  }

  /**
   * Takes away the indexes without an address, and their directory with the last one. A reservation that is made at this
   * moment stands: what is missed is only an index, which the next call makes anew.
   */
  static removeEmpty(): void {
    if (!existsSync(INDEX_DIR)) return;
    for (const dirId of readdirSync(INDEX_DIR)) {
      using index = OwnerIndex.#open(dirId, () => true);
      if (index?.addresses().length === 0) index.discard();
    }
    try {
      rmdirSync(INDEX_DIR);
      rmdirSync(dirname(INDEX_DIR));
    } catch {
      // Somebody has something in it.
    }
  }

  /** A new index. @throws where no file can be made */
  static create(dirId: string, entries: readonly IndexEntry[]): OwnerIndex {
    const path = `${INDEX_DIR}/${dirId}`;
    mkdirSync(INDEX_DIR, { recursive: true, mode: 0o700 });
    const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_TRUNC, 0o600);
    const index = new OwnerIndex(path, fd, { slots: 0, used: 0 });
    try {
      index.#fill(entries.map(({ owner, ip }) => ({ hash: hashOf(containerOf(owner)), ip })));
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    return index;
  }

  find(containerID: string): IpAddress[] {
    const hash = hashOf(containerID);
    const found: IpAddress[] = [];
    const at = this.#probe(hash, (slot) => {
      if (slot.readUInt32LE(0) === hash && slot[4] !== REMOVED) found.push(readIp(slot));
      return false;
    });
    this.#end = { hash, at };
    return found;
  }

  add(owner: string, ip: IpAddress): void {
    if (this.#used + 1 > this.#slots * MAX_LOAD) this.#fill(this.#entries());
    const hash = hashOf(containerOf(owner));
    const at = this.#end?.hash === hash ? this.#end.at : this.#probe(hash, () => false);
    this.#write(at, slotOf(hash, ip));
    this.#used += 1;
  }

  remove(owner: string, ip: IpAddress): void {
    const hash = hashOf(containerOf(owner));
    let isThere = false;
    const at = this.#probe(hash, (slot) => {
      isThere = slot.readUInt32LE(0) === hash && slot[4] === ip.family && readIp(slot).value === ip.value;
      return isThere;
    });
    if (isThere) this.#write(at, Buffer.alloc(SLOT_BYTES, REMOVED));
  }

  /** Every address. */
  addresses(): IpAddress[] {
    return this.#entries().map(({ ip }) => ip);
  }

  /** Declares the index true for a directory with this modification time, in ns. */
  seal(stamp: bigint): void {
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeBigUInt64LE(MAGIC, 0);
    header.writeBigUInt64LE(stamp, 8);
    header.writeUInt32LE(this.#slots, 16);
    header.writeUInt32LE(this.#used, 20);
    writeWhole(this.#fd, header, 0);
  }

  /** For an index that can no longer be kept true. */
  discard(): void {
    unlinkSync(this.#path);
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
  }

  /** Goes through the slots where an owner may be; gives the number of the one where `stop` said so, else of the empty one at the end. */
  #probe(hash: number, stop: (slot: Buffer) => boolean): number {
    const buffer = Buffer.allocUnsafe(SLOTS_PER_READ * SLOT_BYTES);
    for (let at = hash % this.#slots; ; ) {
      const count = Math.min(SLOTS_PER_READ, this.#slots - at);
      readWhole(this.#fd, buffer.subarray(0, count * SLOT_BYTES), HEADER_BYTES + at * SLOT_BYTES);
      for (let i = 0; i < count; i++) {
        const slot = buffer.subarray(i * SLOT_BYTES, (i + 1) * SLOT_BYTES);
        if (slot[4] === EMPTY || stop(slot)) return at + i;
      }
      at = (at + count) % this.#slots;
    }
  }

  #write(at: number, slot: Buffer): void {
    this.#end = undefined;
    writeWhole(this.#fd, slot, HEADER_BYTES + at * SLOT_BYTES);
  }

  #entries(): { hash: number; ip: IpAddress }[] {
    const table = Buffer.alloc(this.#slots * SLOT_BYTES);
    readWhole(this.#fd, table, HEADER_BYTES);
    const entries: { hash: number; ip: IpAddress }[] = [];
    for (let at = 0; at < table.length; at += SLOT_BYTES) {
      if (table[at + 4] === EMPTY || table[at + 4] === REMOVED) continue;
      const slot = table.subarray(at, at + SLOT_BYTES);
      entries.push({ hash: slot.readUInt32LE(0), ip: readIp(slot) });
    }
    return entries;
  }

  #fill(entries: readonly { hash: number; ip: IpAddress }[]): void {
    let slots = MIN_SLOTS;
    while (entries.length * 3 > slots) slots *= 2;
    const table = Buffer.alloc(HEADER_BYTES + slots * SLOT_BYTES);
    for (const { hash, ip } of entries) {
      let at = hash % slots;
      while (table[HEADER_BYTES + at * SLOT_BYTES + 4] !== EMPTY) at = (at + 1) % slots;
      slotOf(hash, ip).copy(table, HEADER_BYTES + at * SLOT_BYTES);
    }
    writeWhole(this.#fd, table, 0);
    this.#end = undefined;
    this.#slots = slots;
    this.#used = entries.length;
  }
}

/** The first line of what a reservation holds. */
function containerOf(owner: string): string {
  const end = owner.indexOf('\r');
  return end < 0 ? owner : owner.slice(0, end);
}

/** @throws Error at the end of the file, which is somebody else's doing */
function readWhole(fd: number, buffer: Buffer, position: number): void {
  if (readSync(fd, buffer, 0, buffer.length, position) !== buffer.length) {
    throw new Error('read index: it is too short');
  }
}

/** @throws Error when the file system has no room for all of it */
function writeWhole(fd: number, buffer: Buffer, position: number): void {
  if (writeSync(fd, buffer, 0, buffer.length, position) !== buffer.length) {
    throw new Error('write index: no room');
  }
}

function slotOf(hash: number, ip: IpAddress): Buffer {
  const slot = Buffer.alloc(SLOT_BYTES);
  slot.writeUInt32LE(hash, 0);
  slot[4] = ip.family;
  slot.writeBigUInt64LE(ip.value & 0xffff_ffff_ffff_ffffn, 8);
  slot.writeBigUInt64LE(ip.value >> 64n, 16);
  return slot;
}

function readIp(slot: Buffer): IpAddress {
  const family = slot[4] === 6 ? 6 : 4;
  const low = slot.readBigUInt64LE(8);
  return { family, value: family === 4 ? low : (slot.readBigUInt64LE(16) << 64n) | low };
}

/** FNV-1a, its bits mixed as MurmurHash3 does, since slots are chosen by the low ones. */
function hashOf(containerID: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < containerID.length; i++) hash = Math.imul(hash ^ containerID.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
