import type { Container, FilesystemUsage, Image } from '../../gen/api.ts';
import type { CriClient } from '../client.ts';

/** An image and the containers that are made of it. */
export interface ImageInUse {
  image: Image;
  containers: Container[];
}

/** The images with the containers of each, and all containers, whose images may be gone. */
export async function imagesAndContainers({
  images: service,
  runtime,
}: CriClient): Promise<{ images: ImageInUse[]; containers: Container[] }> {
  const [{ images }, { containers }] = await Promise.all([
    service.listImages({ filter: undefined }),
    runtime.listContainers({ filter: undefined }),
  ]);
  const users = (image: Image) => containers.filter((container) => isOf(container, image));
  return { images: images.map((image) => ({ image, containers: users(image) })), containers };
}

/** A runtime may name a container's image by its id, by a digest or as the user did. */
function isOf(container: Container, { id, repoTags, repoDigests }: Image): boolean {
  const names = [container.imageId, container.imageRef, container.image?.image];
  return names.some(
    (name) =>
      name !== undefined &&
      name !== '' &&
      (name === id || `sha256:${name}` === id || repoTags.includes(name) || repoDigests.includes(name)),
  );
}

/** What file systems of images or containers hold, together; undefined when the runtime tells of none. */
export function usedBytesOf(filesystems: readonly FilesystemUsage[]): bigint | undefined {
  if (filesystems.length === 0) return undefined;
  return filesystems.reduce((sum, { usedBytes }) => sum + (usedBytes?.value ?? 0n), 0n);
}

/** A name of an image for people. */
export function nameOf({ repoTags, repoDigests, id }: Image): string {
  return repoTags[0] ?? repoDigests[0] ?? id;
}
