import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { AT_FDCWD, isCode, utimesAt } from '@amphipod/linux';
import { compareIp, formatIp, type IpAddress, tryParseIp } from '@amphipod/netlink';
import { type IndexEntry, OwnerIndex } from './owner-index.ts';

/** An address in use, and whose it is: `<containerID>\r\n<ifName>`; files of old versions hold the container alone. */
export type Reservation = IndexEntry;

const LAST_PREFIX = 'last_reserved_ip.';
/** One for all: who writes it holds the lock. No address, so that the reference looks over it. */
const NEW_FILE = '.new';
const MS = 1_000_000n;

/** What a reservation's file holds, and old files without the interface. */
export function ownerTexts(containerID: string, ifName: string): [current: string, old: string] {
  return [`${containerID}\r\n${ifName}`, containerID];
}

/**
 * The reservations of one network: a file for each address in use, named by it, as the reference's host-local keeps them, so
 * that both can work on one directory. Use only while holding the lock file; dispose before letting go of it.
 *
 * The files are the truth. Who owns what is looked up in an {@link OwnerIndex}, as long as nobody else has changed the directory.
 */
export class Reservations implements Disposable {
  readonly dir: string;
  /** Undefined where none can be kept; then `#entries` is what the directory holds. */
  #index: OwnerIndex | undefined;
  #entries: Reservation[] = [];
  /** The index says what the directory holds, and both are marked with it. */
  #isSealed: boolean;
  /** Times of this file system are known to be kept as they are set. */
  readonly #keepsTimes: boolean;
  /** Lengths of the last-reserved files that have been read. */
  readonly #lastBytes = new Map<number, number>();

  constructor(dir: string) {
    this.dir = dir;
    const { dev, ino, mtimeNs } = statSync(dir, { bigint: true });
    const id = `${dev}-${ino}`;
    this.#index = OwnerIndex.open(id, mtimeNs);
    this.#isSealed = this.#index !== undefined;
    this.#keepsTimes = this.#isSealed;
    if (this.#isSealed) return;
    this.#entries = this.list();
    try {
      this.#index = OwnerIndex.create(id, this.#entries);
      this.#entries = [];
    } catch {
      // No /run, or none that we may write to: slower, not wrong.
    }
  }

  /** Makes the directory that reservations and lock are in. */
  static makeDir(dir: string): void {
    mkdirSync(dir, { recursive: true, mode: 0o755 });
  }

  /** Reads every file; those that a crash left empty belong to nobody and are none. */
  list(): Reservation[] {
    const found: Reservation[] = [];
    for (const name of readdirSync(this.dir)) {
      const ip = tryParseIp(name);
      const owner = ip === undefined ? '' : (this.#read(name) ?? '');
      if (owner !== '') found.push({ owner, ip: ip! });
    }
    return found;
  }

  /** What a container has, whichever its interfaces are. */
  ofContainer(containerID: string): Reservation[] {
    const isIts = (owner: string | undefined) =>
      owner === containerID || owner?.startsWith(`${containerID}\r\n`) === true;
    const found = this.#ask((index) => index.find(containerID));
    if (found === undefined) return this.#entries.filter(({ owner }) => isIts(owner));
    return found.map((ip) => ({ ip, owner: this.ownerOf(ip)! })).filter(({ owner }) => isIts(owner));
  }

  /** Who has an address, as its file says; undefined when nobody has. */
  ownerOf(ip: IpAddress): string | undefined {
    return this.#read(formatIp(ip)) || undefined;
  }

  /** Every address in use, without a look at the files. */
  addresses(): IpAddress[] {
    return this.#ask((index) => index.addresses()) ?? this.#entries.map(({ ip }) => ip);
  }

  isFree(ip: IpAddress): boolean {
    const stats = statSync(join(this.dir, formatIp(ip)), { throwIfNoEntry: false });
    // A crash of another program between making the file and writing it (field case CNI-02).
    return stats === undefined || (stats.size < 3 && (this.#read(formatIp(ip)) ?? '') === '');
  }

  /** Takes a free address. The file appears with its content or not at all, in the place of an empty one if there is such. */
  reserve(ip: IpAddress, owner: string): void {
    const temporary = join(this.dir, NEW_FILE);
    try {
      writeFileSync(temporary, owner, { mode: 0o600 });
      renameSync(temporary, join(this.dir, formatIp(ip)));
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
    if (this.#index === undefined) this.#entries.push({ owner, ip });
    this.#note((index) => index.add(owner, ip));
  }

  /** Gives an address back: its file, which must be this one, has been read while holding the lock. */
  release({ ip, owner }: Reservation): void {
    unlinkSync(join(this.dir, formatIp(ip)));
    this.#note((index) => index.remove(owner, ip));
    this.#entries = this.#entries.filter((entry) => compareIp(entry.ip, ip) !== 0);
  }

  /** The address that was given out last; undefined when there is none or the file is damaged. */
  last(setIndex: number): IpAddress | undefined {
    const text = this.#read(`${LAST_PREFIX}${setIndex}`) ?? '';
    this.#lastBytes.set(setIndex, text.length);
    return tryParseIp(text);
  }

  /** In place and without truncating first, which makes ext4 write the file out at once; a damaged one does no harm. */
  setLast(setIndex: number, ip: IpAddress): void {
    const text = formatIp(ip);
    const fd = openSync(
      join(this.dir, `${LAST_PREFIX}${setIndex}`),
      constants.O_WRONLY | constants.O_CREAT,
      0o600,
    );
    try {
      writeSync(fd, text, 0);
      const before = this.#lastBytes.get(setIndex) ?? fstatSync(fd).size;
      if (before > text.length) ftruncateSync(fd, text.length);
    } finally {
      closeSync(fd);
    }
  }

  [Symbol.dispose](): void {
    if (!this.#isSealed) this.#note((index) => this.#seal(index));
    this.#index?.[Symbol.dispose]();
  }

  #read(name: string): string | undefined {
    try {
      return readFileSync(join(this.dir, name), 'utf8').trim();
    } catch (error) {
      if (isCode(error, 'ENOENT', 'EISDIR')) return undefined;
      throw error;
    }
  }

  #note(change: (index: OwnerIndex) => void): void {
    this.#isSealed = false;
    this.#ask(change);
  }

  /** The reservation stands whatever becomes of the index: one that fails is given up, and made anew by a later call. */
  #ask<T>(question: (index: OwnerIndex) => T): T | undefined {
    if (this.#index === undefined) return undefined;
    try {
      return question(this.#index);
    } catch {
      this.#isSealed = false;
      this.#entries = this.list();
      this.#index[Symbol.dispose]();
      this.#index = undefined;
      return undefined;
    }
  }

  #seal(index: OwnerIndex): void {
    // Before any time that the kernel's clock, which goes in ticks of up to 10 ms, gives from now on; and by chance unlike
    // what another machine or container, with an index of its own, puts there.
    const stamp = BigInt(Date.now()) * MS - 20n * MS - BigInt(Math.floor(Math.random() * 1e9));
    utimesAt(AT_FDCWD, `${this.dir}/.`, stamp);
    // A file system that keeps whole seconds cannot tell two changes apart.
    if (this.#keepsTimes || statSync(this.dir, { bigint: true }).mtimeNs === stamp) index.seal(stamp);
    else index.discard();
  }
}
