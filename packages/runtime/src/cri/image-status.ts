import type { ImageStatusRequest, ImageStatusResponse } from '../gen/api.ts';
import type { Handler } from './call.ts';
import { imageMessage } from './image-message.ts';

/** ImageStatus: no image is an answer, not an error. */
export const imageStatus: Handler<ImageStatusRequest, ImageStatusResponse> = (
  { images },
  { image: spec, verbose },
) => {
  const image = images.find(spec?.image ?? '');
  if (image === undefined) return { image: undefined, info: {} };
  return {
    image: imageMessage(image),
    info: verbose ? { info: JSON.stringify({ config: image.config }) } : {},
  };
};
