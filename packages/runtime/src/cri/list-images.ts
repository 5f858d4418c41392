import type { Image } from '@amphipod/images';
import type { RuntimeContext } from '../context.ts';
import type { ImageFilter, ListImagesRequest, ListImagesResponse } from '../gen/api.ts';
import type { Handler } from './call.ts';
import { Encoded } from './encoded.ts';
import { imageItem } from './image-message.ts';

/** Lists in their form on the wire. The store gives the same one while nothing changes, and the kubelet asks again and again. */
const encodedLists = new WeakMap<readonly Image[], Buffer>();

/** ListImages: all, or the one that the filter names. */
export const listImages: Handler<ListImagesRequest, Encoded<ListImagesResponse>> = (context, { filter }) => {
  const images = selectImages(context, filter);
  const bytes = encodedLists.get(images) ?? Buffer.concat(images.map(imageItem));
  encodedLists.set(images, bytes);
  return new Encoded(bytes);
};

export function selectImages({ images }: RuntimeContext, filter: ImageFilter | undefined): readonly Image[] {
  const name = filter?.image?.image ?? '';
  if (name === '') return images.list();
  const one = images.find(name);
  return one === undefined ? [] : [one];
}
