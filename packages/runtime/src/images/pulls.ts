import type { LayerProgress } from '@amphipod/images';

export interface PullStatus {
  reference: string;
  startedAt: string;
  layers: LayerProgress[];
}

/** The pulls that are under way, for `Status` with verbose. */
export class Pulls {
  readonly #running = new Set<{ reference: string; startedAt: string; layers: Map<string, LayerProgress> }>();

  /** Runs `work` as a pull of `reference`; it reports the progress of each layer. */
  async track<T>(
    reference: string,
    work: (onProgress: (layer: LayerProgress) => void) => Promise<T>,
  ): Promise<T> {
    const pull = { reference, startedAt: new Date().toISOString(), layers: new Map<string, LayerProgress>() };
    this.#running.add(pull);
    try {
      return await work((layer) => pull.layers.set(layer.digest, layer));
    } finally {
      this.#running.delete(pull);
    }
  }

  list(): PullStatus[] {
    return [...this.#running].map((pull) => ({ ...pull, layers: [...pull.layers.values()] }));
  }
}
