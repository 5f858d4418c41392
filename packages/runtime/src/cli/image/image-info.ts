/** A layer as our runtime shows it in ImageStatus with verbose. */
export interface LayerInfo {
  digest: string;
  mediaType?: string;
  sizeBytes?: number;
  diffId: string;
  chainId?: string;
  diskBytes?: number;
  inodes?: number;
}

/** What ImageStatus with verbose says beyond the image; of other runtimes at most the configuration. */
export interface ImageInfo {
  chainID?: string;
  manifestDigest?: string;
  /** The image configuration (image-spec config.md). */
  imageSpec?: {
    created?: string;
    author?: string;
    architecture?: string;
    os?: string;
    variant?: string;
    config?: Record<string, unknown>;
    rootfs?: { diff_ids?: string[] };
    history?: { created?: string; created_by?: string; comment?: string; empty_layer?: boolean }[];
  };
  layers?: LayerInfo[];
}

/** The verbose information, empty where the runtime has none that can be read. */
export function parseImageInfo(info: Record<string, string>): ImageInfo {
  try {
    return JSON.parse(info.info ?? '{}') as ImageInfo;
  } catch {
    return {};
  }
}

/** Layers, bottom first; their diff ids only where the runtime tells no more. */
export function layersOf(info: Record<string, string>): LayerInfo[] {
  const { layers, imageSpec } = parseImageInfo(info);
  return layers ?? (imageSpec?.rootfs?.diff_ids ?? []).map((diffId) => ({ digest: '', diffId }));
}
