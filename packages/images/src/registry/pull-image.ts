import { createHash } from 'node:crypto';
import { ImageError } from '../errors.ts';
import type { Image, LayerProgress, PullOptions, RegistryAuth } from '../image.ts';
import { hostPlatform } from '../platform.ts';
import { formatReference, parseReference, type Reference } from '../reference.ts';
import { checkSignatures } from '../signatures/check-signatures.ts';
import type { ImageDatabase } from '../store/image-database.ts';
import type { ImageIndex } from '../store/image-index.ts';
import { installImage } from '../store/install-image.ts';
import type { SharedTasks } from '../store/shared-tasks.ts';
import type { StoreContents } from '../store/store-contents.ts';
import type { HttpConnections } from './http-exchange.ts';
import type { RegistryOptions } from './registry-hosts.ts';
import { RegistrySource } from './registry-source.ts';
import { defaultRetries, type RetryPolicy } from './retries.ts';

export interface PullContext {
  contents: StoreContents;
  index: ImageIndex;
  db: ImageDatabase;
  connections: HttpConnections;
  registries: RegistryOptions;
  retries?: RetryPolicy;
  /** policy.json to check images against. */
  signaturePolicy: string | undefined;
  /** Pulls that run, by what makes two of them the same. */
  pulls: SharedTasks<Image, LayerProgress>;
}

/**
 * Pulls an image: manifest, signatures, configuration, layers. Pulls of one image with the same credentials that run at the
 * same time are one. @throws ImageError
 */
export async function pullImage(
  context: PullContext,
  text: string,
  { auth, platform = hostPlatform(), signal, onProgress }: PullOptions,
): Promise<Image> {
  const reference = parseReference(text);
  if (reference.digest?.startsWith('sha512:'))
    throw new ImageError('invalid-reference', `pull ${text}: sha512 digests are not supported, only sha256`);
  // Whoever shows other credentials must be let in by the registry on his own.
  const same = JSON.stringify([formatReference(reference), platform, auth]);
  const key = createHash('sha256').update(same).digest('hex');
  const joining = { ...(signal && { signal }), ...(onProgress && { onProgress }) };
  return context.pulls.run(key, joining, async (shared, report) => {
    const { signaturePolicy } = context;
    const source = registrySource(context, reference, auth);
    const { manifest, documents } = await source.resolve(platform, shared);
    if (signaturePolicy !== undefined)
      await checkSignatures(signaturePolicy, { reference, documents, source }, shared);
    const { registry, repository, tag, digest } = reference;
    return installImage(
      context,
      {
        what: formatReference(reference),
        manifest,
        documents,
        source,
        ...(digest === undefined && { tag: formatReference({ registry, repository, tag: tag! }) }),
        digest: formatReference({ registry, repository, digest: documents[0]!.digest }),
      },
      { platform, signal: shared, onProgress: report },
    );
  });
}

/** A repository at its registry and the registry's mirrors. @throws ImageError invalid-registry-config */
export function registrySource(
  { registries, connections, retries = defaultRetries }: PullContext,
  reference: Reference,
  auth: RegistryAuth | undefined,
): RegistrySource {
  return new RegistrySource({ reference, auth, registries, connections, retries });
}
