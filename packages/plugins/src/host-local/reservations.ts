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
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { isCode } from '@amphipod/linux';
import { formatIp, type IpAddress, tryParseIp } from '@amphipod/netlink';

/** `<containerID>\r\n<ifName>`; files of old versions hold the container alone. */
export interface Reservation {
  ip: IpAddress;
  path: string;
  owner: string;
}

const LAST_PREFIX = 'last_reserved_ip.';

/** What a reservation's file holds, and old files without the interface. */
export function ownerTexts(containerID: string, ifName: string): [current: string, old: string] {
  return [`${containerID}\r\n${ifName}`, containerID];
}

/**
 * The reservations of one network: a file for each address in use, named by it, as the reference's host-local keeps them, so
 * that both can work on one directory. Use only while holding the lock file.
 *
 * `known` remembers the owners of files seen before, so that an ADD reads only the files that are new.
 */
export class Reservations {
  readonly dir: string;
  readonly #known: Map<string, string>;

  constructor(dir: string, known: Map<string, string> = new Map()) {
    this.dir = dir;
    this.#known = known;
  }

  /** Makes the directory that reservations and lock are in. */
  static makeDir(dir: string): void {
    mkdirSync(dir, { recursive: true, mode: 0o755 });
  }

  /** Every reservation; a file that a crash left empty belongs to nobody and is none. `fresh` reads all files again. */
  list({ fresh = false } = {}): Reservation[] {
    if (fresh) this.#known.clear();
    const names = readdirSync(this.dir);
    const gone = new Set(this.#known.keys());
    const found: Reservation[] = [];
    for (const name of names) {
      const ip = tryParseIp(name);
      if (ip === undefined) continue;
      gone.delete(name);
      const owner = this.#known.get(name) ?? this.#read(name);
      if (owner !== '') found.push({ ip, path: join(this.dir, name), owner });
    }
    for (const name of gone) this.#known.delete(name);
    return found;
  }

  #read(name: string): string {
    let owner = '';
    try {
      owner = readFileSync(join(this.dir, name), 'utf8').trim();
    } catch (error) {
      if (!isCode(error, 'ENOENT')) throw error;
    }
    if (owner !== '') this.#known.set(name, owner);
    return owner;
  }

  /**
   * Takes an address that {@link list} did not give. The file appears with its content or not at all, in the place of an
   * empty one if there is such (field case CNI-02).
   */
  reserve(ip: IpAddress, owner: string): void {
    const name = formatIp(ip);
    const temporary = join(this.dir, `.${name}.new`);
    try {
      writeFileSync(temporary, owner, { mode: 0o600 });
      renameSync(temporary, join(this.dir, name));
    } catch (error) {
      rmSync(temporary, { force: true });
      throw error;
    }
    this.#known.set(name, owner);
  }

  /** Gives an address back if it is still that of `owners`. */
  release(path: string, owners: readonly string[]): boolean {
    try {
      // The memory may be wrong when another program gave the address away and took it anew.
      if (!owners.includes(readFileSync(path, 'utf8').trim())) return false;
      unlinkSync(path);
    } catch (error) {
      if (!isCode(error, 'ENOENT')) throw error;
    }
    this.#known.delete(path.slice(this.dir.length + 1));
    return true;
  }

  /** The address that was given out last; undefined when there is none or the file is damaged. */
  last(setIndex: number): IpAddress | undefined {
    try {
      return tryParseIp(readFileSync(join(this.dir, `${LAST_PREFIX}${setIndex}`), 'utf8').trim());
    } catch (error) {
      if (isCode(error, 'ENOENT')) return undefined;
      throw error;
    }
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
      if (fstatSync(fd).size !== text.length) ftruncateSync(fd, text.length);
    } finally {
      closeSync(fd);
    }
  }
}
