import { statSync } from 'node:fs';
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
    const stamp = [this.#dir, ...this.#loaded.lists.map((list) => list.file ?? '')].map(stampOf).join();
    // A broken file may be mended in place, which no directory time shows.
    if (stamp === this.#stamp && this.#loaded.errors.length === 0) return;
    this.#loaded = loadNetworkConfigLists(this.#dir);
    this.#stamp = [this.#dir, ...this.#loaded.lists.map((list) => list.file ?? '')].map(stampOf).join();
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
