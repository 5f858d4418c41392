import type { Image, LoadSource } from '@amphipod/images';
import { CriError } from '../../errors.ts';
import { type LoadRequest, LoadResponse } from '../../gen/images.ts';
import type { StreamHandler } from './call.ts';

const kinds: readonly string[] = ['archive', 'oci-layout', 'containerd', 'containers-storage'];

/** Load: takes in images of this machine, or of an archive that comes with the call. */
export const load: StreamHandler<LoadRequest, LoadResponse> = async (context, { requests, send, signal }) => {
  const messages = requests[Symbol.asyncIterator]();
  const { value: first } = (await messages.next()) as IteratorResult<LoadRequest, undefined>;
  if (first === undefined) throw new CriError('invalid-argument', 'load: no request came');
  const { kind, path, reference, namespace, keepGoing } = first;
  if (!kinds.includes(kind)) {
    throw new CriError(
      'invalid-argument',
      `load: kind ${JSON.stringify(kind)}: must be one of ${kinds.join(', ')}`,
    );
  }
  if (path !== '' && !path.startsWith('/'))
    throw new CriError('invalid-argument', `load ${JSON.stringify(path)}: the path must be absolute`);
  const source: LoadSource = {
    kind: kind as LoadSource['kind'],
    path: path || 'the archive received',
    ...(path === '' && { data: pieces(messages) }),
    ...(reference !== '' && { reference }),
    ...(namespace !== '' && { namespace }),
  };
  await context.pulls.track(path, (onProgress) =>
    context.images.load(source, {
      signal,
      onProgress,
      onLoaded: (image) => void send(loaded(image)),
      ...(keepGoing && {
        onFailure: (names, error) => void send(LoadResponse.create({ names, error: error.message })),
      }),
    }),
  );
};

function loaded({ id, repoTags, repoDigests, sizeBytes }: Image): LoadResponse {
  return LoadResponse.create({ id, repoTags, repoDigests, sizeBytes });
}

async function* pieces(messages: AsyncIterator<LoadRequest>): AsyncGenerator<Buffer> {
  for (let next = await messages.next(); !next.done; next = await messages.next()) yield next.value.data;
}
