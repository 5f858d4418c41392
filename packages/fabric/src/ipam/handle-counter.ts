import { type Cidr, formatCidr } from '@amphipod/netlink';
import type { IpamHandle } from '../resources/ipam-handle.ts';
import { racing, type Stored, type StorePlace, storedHandle } from './stored-object.ts';

/**
 * Counts what a handle holds of each block. The count goes up before an address is taken and down after it was given back, so
 * that whoever looks for the addresses of a handle never misses one.
 */
export class HandleCounter {
  readonly #place: StorePlace;
  readonly #handleId: string;
  /** What we wrote last: usually nobody else writes this handle. */
  #known: Stored<IpamHandle> | undefined;

  constructor(place: StorePlace, handleId: string) {
    this.#place = place;
    this.#handleId = handleId;
  }

  /** Adds `count`, which may be negative; a handle that holds nothing is deleted. */
  async add(block: Cidr, count: number): Promise<void> {
    if (count === 0) return;
    const object = storedHandle(this.#place, this.#handleId);
    const what = `count addresses of handle ${JSON.stringify(this.#handleId)}`;
    let isFirst = true;
    await racing(what, this.#place, async () => {
      // First on the assumption that the handle is as we left it, or not there.
      if (!isFirst || (count < 0 && this.#known === undefined)) this.#known = await object.get();
      isFirst = false;
      const counts = addTo(this.#known?.value.block ?? {}, formatCidr(block), count);
      if (Object.keys(counts).length > 0) {
        const value = { block: counts, deleted: false };
        this.#known = await (this.#known === undefined
          ? object.create(value)
          : object.replace(this.#known, value));
      } else if (this.#known !== undefined) {
        await object.delete(this.#known);
        this.#known = undefined;
      }
    });
  }
}

function addTo(counts: IpamHandle['block'], block: string, count: number): Record<string, number> {
  const { [block]: old = 0, ...others } = counts;
  const sum = old + count;
  return sum > 0 ? { ...others, [block]: sum } : others;
}
