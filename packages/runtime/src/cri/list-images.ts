import type { Image } from '@amphipod/images';
import type { RuntimeContext } from '../context.ts';
import type { ImageFilter, ListImagesRequest, ListImagesResponse } from '../gen/api.ts';
import type { Handler } from './call.ts';
import { Encoded } from './encoded.ts';
import { imageItem } from './image-message.ts';

/** The last list and its form on the wire: the kubelet asks for it again and again, and mostly nothing has changed. */
let last: { images: readonly Image[]; bytes: Buffer } | undefined;

/** ListImages: all, or the one that the filter names. */
export const listImages: Handler<ListImagesRequest, Encoded<ListImagesResponse>> = (context, { filter }) => {
  const images = selectImages(context, filter);
  if (last?.images !== images) last = { images, bytes: Buffer.concat(images.map(imageItem)) };
  return new Encoded(last.bytes);
};

export function selectImages({ images }: RuntimeContext, filter: ImageFilter | undefined): readonly Image[] {
  const name = filter?.image?.image ?? '';
  if (name === '') return images.list();
  const one = images.find(name);
  return one === undefined ? [] : [one];
}
