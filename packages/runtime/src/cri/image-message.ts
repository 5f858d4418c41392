import type { Image } from '@amphipod/images';
import type { Image as CriImage } from '../gen/api.ts';

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
