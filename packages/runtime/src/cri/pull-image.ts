import { parseReference, type RegistryAuth } from '@amphipod/images';
import { CriError } from '../errors.ts';
import type { AuthConfig, PullImageRequest, PullImageResponse } from '../gen/api.ts';
import { parseLoadSource } from '../images/load-source.ts';
import type { Handler } from './call.ts';

/** PullImage: from a registry or, with a transport before the name, from a file. The answer is the image's id. */
export const pullImage: Handler<PullImageRequest, PullImageResponse> = async (
  context,
  { image, auth },
  { signal },
) => {
  const name = image?.image ?? '';
  if (name === '') throw new CriError('invalid-argument', 'image.image: missing');
  const source = parseLoadSource(name);
  // A malformed name is refused before anything is done.
  if (source === undefined) parseReference(name);
  const startedAt = performance.now();
  const pulled = await context.pulls.track(name, async (onProgress) => {
    if (source === undefined) return context.images.pull(name, { ...authOf(auth), signal, onProgress });
    const [first] = await context.images.load(source, { signal, onProgress });
    if (first === undefined)
      throw new CriError('not-found', `load image ${JSON.stringify(name)}: no image in it`);
    return first;
  });
  context.log.info('image pulled', {
    image: name,
    id: pulled.id,
    ms: Math.round(performance.now() - startedAt),
  });
  return { imageRef: pulled.id };
};

function authOf(auth: AuthConfig | undefined): { auth?: RegistryAuth } {
  if (auth === undefined) return {};
  const given = Object.entries(auth).filter(([, value]) => typeof value === 'string' && value !== '');
  return given.length === 0 ? {} : { auth: Object.fromEntries(given) as RegistryAuth };
}
