import type { SaveOptions } from '@amphipod/images';
import { CriError } from '../../errors.ts';
import type { SaveRequest, SaveResponse } from '../../gen/images.ts';
import type { StreamHandler } from './call.ts';

const formats: readonly string[] = ['oci-archive', 'docker-archive'];

/** Save: images as one archive. */
export const save: StreamHandler<SaveRequest, SaveResponse> = async (context, { requests, send, signal }) => {
  for await (const { images, format } of requests) {
    if (!formats.includes(format)) {
      const text = `format ${JSON.stringify(format)}: must be one of ${formats.join(', ')}`;
      throw new CriError('invalid-argument', `save: ${text}`);
    }
    const options = { format: format as NonNullable<SaveOptions['format']>, signal };
    for await (const data of context.images.save(images, options)) await send({ data });
  }
};
