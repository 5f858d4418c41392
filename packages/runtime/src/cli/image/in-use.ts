import type { Container, Image } from '../../gen/api.ts';
import type { CriClient } from '../client.ts';

/** The images, and the containers of each. */
export async function imagesAndContainers({
  images: service,
  runtime,
}: CriClient): Promise<{ image: Image; containers: Container[] }[]> {
  const [{ images }, { containers }] = await Promise.all([
    service.listImages({ filter: undefined }),
    runtime.listContainers({ filter: undefined }),
  ]);
  return images.map((image) => ({
    image,
    containers: containers.filter((container) => isOf(container, image)),
  }));
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

/** A name of an image for people. */
export function nameOf({ repoTags, repoDigests, id }: Image): string {
  return repoTags[0] ?? repoDigests[0] ?? id;
}
