import { type Image, ImageError } from '@amphipod/images';
import type { RuntimeContext } from '../context.ts';
import type { ImageStatusRequest, ImageStatusResponse } from '../gen/api.ts';
import type { Handler } from './call.ts';
import { imageMessage } from './image-message.ts';

/** ImageStatus: no image is an answer, not an error. */
export const imageStatus: Handler<ImageStatusRequest, ImageStatusResponse> = (
  context,
  { image: spec, verbose },
) => {
  const image = context.images.find(spec?.image ?? '');
  if (image === undefined) return { image: undefined, info: {} };
  return { image: imageMessage(image), info: verbose ? verboseInfo(context, image) : {} };
};

/** Under the keys that containerd has too, `chainID` and `imageSpec`, and with what each layer takes. */
function verboseInfo({ images }: RuntimeContext, image: Image): Record<string, string> {
  try {
    const { chainId: chainID, ...details } = images.describe(image.id);
    return { info: JSON.stringify({ chainID, ...details }) };
  } catch (error) {
    if (!(error instanceof ImageError)) throw error;
    // A damaged store must not hide what is known.
    return { info: JSON.stringify({ imageSpec: { config: image.config }, problem: error.message }) };
  }
}
