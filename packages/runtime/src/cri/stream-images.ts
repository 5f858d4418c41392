import type { StreamImagesRequest, StreamImagesResponse } from '../gen/api.ts';
import { batches } from './batches.ts';
import type { StreamHandler } from './call.ts';
import { listImages } from './list-images.ts';

/** StreamImages: ListImages in parts. */
export const streamImages: StreamHandler<StreamImagesRequest, StreamImagesResponse> = async function* (
  context,
  request,
  call,
) {
  const { images } = await listImages(context, request, call);
  for (const part of batches(images)) yield { images: part };
};
