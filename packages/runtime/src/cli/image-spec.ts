import { ImageSpec } from '../gen/api.ts';

/** The message for an image that the user named: a reference, an id, or a transport such as `oci-archive:/file`. */
export function imageSpec(image: string): ImageSpec {
  return ImageSpec.create({ image, userSpecifiedImage: image });
}
