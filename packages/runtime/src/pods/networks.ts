import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type CniError, loadNetworkConfigLists, type NetworkConfigList } from '@amphipod/cni';
import { isCode } from '@amphipod/linux';

/**
 * The CNI configuration directory, read again whenever it or a file in it has changed. It is looked at when it is
 * needed, not watched: a directory that is removed and made anew is found all the same (field case CNI-12).
 */
export class Networks {
  readonly #dir: string;
  #stamp: string | undefined;
  #loaded: { lists: NetworkConfigList[]; errors: CniError[] } = { lists: [], errors: [] };

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** The network of new pods: the first valid list by file name. */
  get default(): NetworkConfigList | undefined {
    this.#refresh();
    return this.#loaded.lists[0];
  }

  /** Every network, by file name. */
  get lists(): readonly NetworkConfigList[] {
    this.#refresh();
    return this.#loaded.lists;
  }

  /** What is wrong with the files that could not be used. */
  get errors(): CniError[] {
    this.#refresh();
    return this.#loaded.errors;
  }

  find(name: string): NetworkConfigList | undefined {
    this.#refresh();
    return this.#loaded.lists.find((list) => list.name === name);
  }

  #refresh(): void {
    const before = this.#stampOfLoaded();
    // A broken file may be mended in place, which no directory time shows.
    if (before === this.#stamp && this.#loaded.errors.length === 0) return;
    this.#loaded = loadNetworkConfigLists(this.#dir);
    // What was changed in the middle of the reading is read again.
    this.#stamp = this.#stampOfLoaded() === before ? before : undefined;
  }

  /** Of the directory, of the file of each network, and of the plugins in the network's own folder. */
  #stampOfLoaded(): string {
    const paths = this.#loaded.lists.flatMap(({ file = '', name }) => [
      file,
      ...folderPaths(join(this.#dir, name)),
    ]);
    return [this.#dir, ...paths].map(stampOf).join();
  }
}

/** A folder that may be there, and what is in it. */
function folderPaths(folder: string): string[] {
  try {
    return [folder, ...readdirSync(folder).map((name) => join(folder, name))];
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR')) return [folder];
    throw error;
  }
}

function stampOf(path: string): string {
  try {
    const { ino, mtimeNs, size } = statSync(path, { bigint: true });
    return `${ino}.${mtimeNs}.${size}`;
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENOTDIR')) return '-';
    throw error;
  }
}
