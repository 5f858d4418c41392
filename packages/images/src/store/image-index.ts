import type { Image, OciImageConfig } from '../image.ts';
import { canonicalName } from '../reference.ts';
import type { ImageDatabase, ImageRow, NewImage } from './image-database.ts';

interface Entry {
  row: ImageRow;
  /** What callers get; made anew after each change. */
  image: Image;
}

/** All images in memory, by id and by name; the database follows every change. */
export class ImageIndex {
  readonly #db: ImageDatabase;
  #isPinned: (names: readonly string[]) => boolean;
  readonly #entries = new Map<string, Entry>();
  readonly #names = new Map<string, string>();
  #list: Image[] | undefined;
  readonly #uses = new Map<string, Set<string>>();

  /** @param isPinned the settings' word on an image with these names */
  constructor(db: ImageDatabase, isPinned: (names: readonly string[]) => boolean) {
    this.#db = db;
    this.#isPinned = isPinned;
    for (const row of db.images()) this.#put(row);
    for (const { ownerId, imageId } of db.uses()) this.#use(ownerId, imageId);
  }

  /** Another word of the settings from now on. */
  pinByName(isPinned: (names: readonly string[]) => boolean): void {
    this.#isPinned = isPinned;
    for (const row of this.rows()) this.#put(row);
  }

  /** The same array until an image changes. */
  list(): readonly Image[] {
    this.#list ??= [...this.#entries.values()].filter(({ row }) => !row.hidden).map(({ image }) => image);
    return this.#list;
  }

  rows(): ImageRow[] {
    return [...this.#entries.values()].map(({ row }) => row);
  }

  /** Also a removed image that is still held. */
  row(id: string): ImageRow | undefined {
    return this.#entries.get(id)?.row;
  }

  find(text: string): Image | undefined {
    const entry = this.#entries.get(text) ?? this.#entries.get(`sha256:${text}`);
    if (entry !== undefined) return entry.row.hidden ? undefined : entry.image;
    const id = this.#names.get(canonicalName(text) ?? '') ?? this.#byPrefix(text);
    return id === undefined ? undefined : this.#entries.get(id)!.image;
  }

  /** The tag that a text names, undefined for ids, digests and what is not there. */
  tagOf(text: string): string | undefined {
    const name = canonicalName(text) ?? '';
    const id = this.#names.get(name);
    return id !== undefined && this.row(id)!.tags.includes(name) && this.find(text)?.id === id
      ? name
      : undefined;
  }

  isHeld(id: string): boolean {
    return this.#uses.has(id);
  }

  #byPrefix(text: string): string | undefined {
    const prefix = text.replace(/^sha256:/, '');
    // Shorter ones are names.
    if (!/^[0-9a-f]{3,64}$/.test(prefix)) return undefined;
    const found = [...this.#entries.values()].filter(
      ({ row }) => !row.hidden && row.id.startsWith(`sha256:${prefix}`),
    );
    return found.length === 1 ? found[0]!.row.id : undefined;
  }

  add(added: NewImage): Image {
    this.#db.addImage(added);
    for (const name of [added.tag, added.digest]) if (name !== undefined) this.#takeName(name);
    const old = this.#entries.get(added.image.id)?.row;
    return this.#put({
      ...added.image,
      blobs: [...new Set([...(old?.blobs ?? []), ...added.image.blobs])],
      pinned: old?.pinned ?? false,
      hidden: false,
      tags: sorted(old?.tags, added.tag),
      digests: sorted(old?.digests, added.digest),
    });
  }

  remove(id: string): void {
    const { row } = this.#entries.get(id)!;
    const isHeld = this.#uses.has(id);
    this.#db.removeImage(id, { keepHidden: isHeld });
    for (const name of [...row.tags, ...row.digests]) this.#names.delete(name);
    this.#list = undefined;
    this.#entries.delete(id);
    if (isHeld) this.#put({ ...row, hidden: true, pinned: false, tags: [], digests: [] });
  }

  setPinned(id: string, pinned: boolean): void {
    const entry = this.#entries.get(id);
    if (entry === undefined || entry.row.pinned === pinned) return;
    this.#db.setPinned(id, pinned);
    this.#put({ ...entry.row, pinned });
  }

  acquire(id: string, ownerId: string): void {
    this.#db.addUse(ownerId, id);
    this.#use(ownerId, id);
  }

  /** @returns true when a removed image is held by nobody any more, and is gone now */
  release(ownerId: string, id: string | undefined): boolean {
    this.#db.removeUse(ownerId, id);
    let gone = false;
    for (const imageId of id === undefined ? [...this.#uses.keys()] : [id]) {
      const owners = this.#uses.get(imageId);
      if (owners?.delete(ownerId) !== true || owners.size > 0) continue;
      this.#uses.delete(imageId);
      if (this.#entries.get(imageId)?.row.hidden !== true) continue;
      this.#db.removeImage(imageId, { keepHidden: false });
      this.#entries.delete(imageId);
      gone = true;
    }
    return gone;
  }

  owners(): { ownerId: string; imageId: string }[] {
    return [...this.#uses].flatMap(([imageId, owners]) =>
      [...owners].map((ownerId) => ({ ownerId, imageId })),
    );
  }

  #takeName(name: string): void {
    const entry = this.#entries.get(this.#names.get(name) ?? '');
    if (entry === undefined) return;
    const without = (names: string[]) => names.filter((other) => other !== name);
    this.#put({ ...entry.row, tags: without(entry.row.tags), digests: without(entry.row.digests) });
  }

  #put(row: ImageRow): Image {
    const annotations = JSON.parse(row.annotations) as Record<string, string>;
    const image: Image = {
      id: row.id,
      repoTags: row.tags,
      repoDigests: row.digests,
      sizeBytes: BigInt(row.sizeBytes),
      pinned: row.pinned || this.#isPinned([row.id, ...row.tags, ...row.digests]),
      config: JSON.parse(row.config) as OciImageConfig,
      ...(Object.keys(annotations).length > 0 && { annotations }),
    };
    this.#list = undefined;
    this.#entries.set(row.id, { row, image });
    for (const name of [...row.tags, ...row.digests]) this.#names.set(name, row.id);
    return image;
  }

  #use(ownerId: string, imageId: string): void {
    const owners = this.#uses.get(imageId) ?? new Set();
    this.#uses.set(imageId, owners.add(ownerId));
  }
}

function sorted(names: string[] = [], added: string | undefined): string[] {
  return added === undefined || names.includes(added) ? names : [...names, added].sort();
}
