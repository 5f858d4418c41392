import type { ListImagesRequest, ListImagesResponse } from '../gen/api.ts';
import type { Handler } from './call.ts';
import { imageMessage } from './image-message.ts';

/** ListImages: all, or the one that the filter names. */
export const listImages: Handler<ListImagesRequest, ListImagesResponse> = ({ images }, { filter }) => {
  const name = filter?.image?.image ?? '';
  const one = name === '' ? undefined : images.find(name);
  const found = name === '' ? images.list() : one === undefined ? [] : [one];
  return { images: found.map(imageMessage) };
};
