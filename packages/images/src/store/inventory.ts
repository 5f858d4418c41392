import type { ImageDatabase, LayerRow, NewImage } from './image-database.ts';

/** Blobs and layers as the database records them. */
export type Rows = Pick<NewImage, 'blobs' | 'layers'>;

/** What there is, in memory: blobs and unpacked layers, their sum, which of them are recorded, and which blobs are damaged. */
export class Inventory {
  readonly #blobs = new Map<string, number>();
  readonly #layers = new Map<string, LayerRow>();
  /** Digests and chain ids that the database has. */
  readonly #recorded = new Set<string>();
  /** Blobs that verification found wrong: whoever needs one fetches it anew. */
  readonly #damaged = new Set<string>();
  /** Blobs that came again in place of damaged ones, and are not synced yet. */
  readonly #renewed = new Set<string>();
  #usedBytes = 0;
  #inodesUsed = 0;

  constructor(db: ImageDatabase) {
    const rows: Rows = { blobs: db.blobs(), layers: db.layers() };
    for (const { digest, size } of rows.blobs) this.addBlob(digest, size);
    for (const layer of rows.layers) this.addLayer(layer);
    this.setRecorded(rows);
  }

  usage(): { usedBytes: bigint; inodesUsed: bigint } {
    return { usedBytes: BigInt(this.#usedBytes), inodesUsed: BigInt(this.#inodesUsed) };
  }

  /** Of all blobs, damaged ones too. */
  digests(): string[] {
    return [...this.#blobs.keys()];
  }

  layers(): LayerRow[] {
    return [...this.#layers.values()];
  }

  /** There, and not known to be damaged. */
  hasBlob(digest: string): boolean {
    return this.#blobs.has(digest) && !this.#damaged.has(digest);
  }

  /** Bytes, of a damaged one what it should have. */
  blobSize(digest: string): number | undefined {
    return this.#blobs.get(digest);
  }

  layer(chainId: string): LayerRow | undefined {
    return this.#layers.get(chainId);
  }

  addBlob(digest: string, size: number): void {
    if (this.#damaged.delete(digest)) {
      this.#renewed.add(digest);
      return;
    }
    this.#blobs.set(digest, size);
    this.#usedBytes += size;
    this.#inodesUsed += 1;
  }

  addLayer(layer: LayerRow): void {
    this.#layers.set(layer.chainId, layer);
    this.#usedBytes += layer.diskBytes;
    this.#inodesUsed += layer.inodes;
  }

  takeBlob(digest: string): void {
    this.#usedBytes -= this.#blobs.get(digest)!;
    this.#inodesUsed -= 1;
    this.#blobs.delete(digest);
    this.#recorded.delete(digest);
    this.#damaged.delete(digest);
    this.#renewed.delete(digest);
  }

  takeLayer({ chainId, diskBytes, inodes }: LayerRow): void {
    this.#usedBytes -= diskBytes;
    this.#inodesUsed -= inodes;
    this.#layers.delete(chainId);
    this.#recorded.delete(chainId);
  }

  isDamaged(digest: string): boolean {
    return this.#damaged.has(digest);
  }

  markDamaged(digest: string): void {
    this.#damaged.add(digest);
  }

  /** @param key digest or chain id */
  isRecorded(key: string): boolean {
    return this.#recorded.has(key);
  }

  /** What of an image has to be synced and recorded; layers must be there. */
  newRows(digests: readonly string[], chainIds: readonly string[]): Rows {
    return {
      blobs: digests
        .filter((digest) => this.hasBlob(digest))
        .filter((digest) => !this.#recorded.has(digest) || this.#renewed.has(digest))
        .map((digest) => ({ digest, size: this.#blobs.get(digest)! })),
      layers: chainIds
        .filter((chainId) => !this.#recorded.has(chainId))
        .map((chainId) => this.#layers.get(chainId)!),
    };
  }

  /** These are in the database now. */
  setRecorded({ blobs, layers }: Rows): void {
    for (const { digest } of blobs) {
      this.#recorded.add(digest);
      this.#renewed.delete(digest);
    }
    for (const { chainId } of layers) this.#recorded.add(chainId);
  }
}
