import { ImageError } from './errors.ts';
import type { ImageStore } from './image.ts';

/** Opens (or makes) the store under `root`. @throws ImageError store-in-use */
export async function openImageStore({ root }: { root: string }): Promise<ImageStore> {
  throw new ImageError('not-found', `open image store ${JSON.stringify(root)}: not written yet`);
}
