import { Damage, VerifyReport, type VerifyRequest, VerifyResponse } from '../../gen/images.ts';
import type { StreamHandler } from './call.ts';

/** Verify: compares what is in the store with its digests, and repairs it when asked to. */
export const verify: StreamHandler<VerifyRequest, VerifyResponse> = async (
  context,
  { requests, send, signal },
) => {
  for await (const { images, blobsOnly, repair, username, password } of requests) {
    const { damages, ...counts } = await context.images.verify({
      ...(images.length > 0 && { references: images }),
      ...(username !== '' && { auth: { username, password } }),
      blobsOnly,
      repair,
      signal,
      onProgress: (progress) => void send(VerifyResponse.create(progress)),
    });
    const report = VerifyReport.create({
      ...counts,
      damages: damages.map((damage) => Damage.create(damage)),
    });
    await send(VerifyResponse.create({ report }));
  }
};
