import type { StreamImagesRequest, StreamImagesResponse } from '../gen/api.ts';
import { batches } from './batches.ts';
import type { StreamHandler } from './call.ts';
import { imageMessage } from './image-message.ts';
import { selectImages } from './list-images.ts';

/** StreamImages: ListImages in parts. */
export const streamImages: StreamHandler<StreamImagesRequest, StreamImagesResponse> = async function* (
  context,
  { filter },
) {
  for (const part of batches(selectImages(context, filter))) yield { images: part.map(imageMessage) };
};
