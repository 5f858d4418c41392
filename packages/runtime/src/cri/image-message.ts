import type { Image } from '@amphipod/images';
import { Image as CriImage } from '../gen/api.ts';
import { fieldOne } from './encoded.ts';

/** An image as ListImages and ImageStatus show it: `uid` for a numeric USER, `username` for a named one. */
export function imageMessage(image: Image): CriImage {
  const user = (image.config.User ?? '').split(':')[0]!;
  const numeric = /^\d+$/.test(user);
  return {
    id: image.id,
    repoTags: image.repoTags,
    repoDigests: image.repoDigests,
    size: image.sizeBytes,
    uid: numeric ? { value: BigInt(user) } : undefined,
    username: numeric ? '' : user,
    spec: {
      image: '',
      annotations: image.annotations ?? {},
      userSpecifiedImage: '',
      runtimeHandler: '',
      imageRef: '',
    },
    pinned: image.pinned,
  };
}

const encoded = new WeakMap<Image, Buffer>();

/** The same as an item of ListImages' answer on the wire, made once for each image: the store gives a new one after a change. */
export function imageItem(image: Image): Buffer {
  const known = encoded.get(image);
  if (known !== undefined) return known;
  const bytes = fieldOne(CriImage.encode(imageMessage(image)).finish());
  encoded.set(image, bytes);
  return bytes;
}
