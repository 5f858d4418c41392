import type { RemoveImageRequest, RemoveImageResponse } from '../gen/api.ts';
import type { Handler } from './call.ts';

/** RemoveImage: the image under all its names. Idempotent. A container that uses it keeps its files. */
export const removeImage: Handler<RemoveImageRequest, RemoveImageResponse> = async (
  { images },
  { image },
) => {
  await images.remove(image?.image ?? '');
  return {};
};
