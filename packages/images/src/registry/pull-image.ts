import { writeFile } from 'node:fs/promises';
import { ImageError } from '../errors.ts';
import type { Image, PullOptions } from '../image.ts';
import { choosePlatform, type Descriptor, type Manifest, parseManifest } from '../manifest.ts';
import { hostPlatform } from '../platform.ts';
import { formatReference, parseReference, type Reference } from '../reference.ts';
import type { ImageDatabase } from '../store/image-database.ts';
import type { ImageIndex } from '../store/image-index.ts';
import { installImage } from '../store/install-image.ts';
import type { BlobSource, FetchOptions, StoreContents } from '../store/store-contents.ts';
import { credentialsFor } from './credentials.ts';
import { downloadBlob } from './download-blob.ts';
import type { HttpConnections } from './http-exchange.ts';
import { type FetchedManifest, RegistryClient } from './registry-client.ts';
import { hostsOf, type RegistryOptions } from './registry-hosts.ts';
import { defaultRetries, type RetryPolicy } from './retries.ts';

export interface PullContext {
  contents: StoreContents;
  index: ImageIndex;
  db: ImageDatabase;
  connections: HttpConnections;
  registries: RegistryOptions;
  retries?: RetryPolicy;
}

const maxIndexDepth = 4;
/** Mirrors are there to be passed over. */
const mirrorAttempts = 2;

/** Pulls an image: manifest, configuration, layers. @throws ImageError */
export async function pullImage(
  context: PullContext,
  text: string,
  { auth, platform = hostPlatform(), signal = new AbortController().signal, onProgress }: PullOptions,
): Promise<Image> {
  const reference = parseReference(text);
  const { registry, repository, tag, digest } = reference;
  const source = registrySource(context, reference, { ...(auth && { auth }) });
  const { manifest, documents } = await source.resolve(platform, signal);
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
    { platform, signal, ...(onProgress && { onProgress }) },
  );
}

/** A repository, for one pull or repair. */
export function registrySource(
  context: PullContext,
  reference: Reference,
  { auth }: Pick<PullOptions, 'auth'>,
): RegistrySource {
  const { registry, repository } = reference;
  const credentials = credentialsFor(registry, auth);
  const retries = context.retries ?? defaultRetries;
  const hosts = hostsOf(registry, context.registries);
  const clients = hosts.map((host, i) => ({
    client: new RegistryClient({
      host,
      registry,
      repository,
      // Credentials are for the registry in the name, not for whoever stands in for it.
      credentials: i === hosts.length - 1 ? credentials : { kind: 'none' },
      connections: context.connections,
      retries:
        i === hosts.length - 1
          ? retries
          : { ...retries, attempts: Math.min(retries.attempts, mirrorAttempts) },
    }),
    can: host.capabilities ?? ['pull', 'resolve'],
  }));
  return new RegistrySource(clients, { reference, retries });
}

/** A repository at its registry and the registry's mirrors, as a source of blobs. */
class RegistrySource implements BlobSource {
  readonly #clients: { client: RegistryClient; can: ('pull' | 'resolve')[] }[];
  readonly #reference: Reference;
  readonly #retries: RetryPolicy;
  /** Manifests that have been fetched on the way to the image. */
  readonly #documents = new Map<string, Buffer>();

  constructor(
    clients: { client: RegistryClient; can: ('pull' | 'resolve')[] }[],
    { reference, retries }: { reference: Reference; retries: RetryPolicy },
  ) {
    this.#clients = clients;
    this.#reference = reference;
    this.#retries = retries;
  }

  /** From the reference to the manifest for a platform. */
  async resolve(
    platform: Parameters<typeof choosePlatform>[1],
    signal: AbortSignal,
  ): Promise<{ manifest: Manifest; documents: Descriptor[] }> {
    const what = formatReference(this.#reference);
    const documents: Descriptor[] = [];
    let wanted = this.#reference.digest ?? this.#reference.tag!;
    while (documents.length <= maxIndexDepth) {
      const fetched = await this.#fromAny(wanted.includes(':') ? 'pull' : 'resolve', (client) =>
        client.getManifest(wanted, signal),
      );
      const document = parseManifest(fetched.bytes, fetched.contentType);
      documents.push(this.#keep(fetched, document.mediaType));
      if (document.kind === 'manifest') return { manifest: document, documents };
      wanted = choosePlatform(document.manifests, platform, what).digest;
    }
    throw new ImageError(
      'invalid-manifest',
      `pull ${what}: indexes are nested more than ${maxIndexDepth} deep`,
    );
  }

  async fetch(descriptor: Descriptor, path: string, options: FetchOptions): Promise<void> {
    const document = this.#documents.get(descriptor.digest);
    if (document !== undefined) {
      await writeFile(path, document, { flag: 'wx', mode: 0o600 });
      return;
    }
    await this.#fromAny('pull', (client) =>
      downloadBlob(client, { descriptor, path, retries: this.#retries }, options),
    );
  }

  #keep({ bytes, digest }: FetchedManifest, mediaType: string): Descriptor {
    this.#documents.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  }

  /** Asks one host after the other. The error is the last one's, the registry's own, with what the mirrors said. */
  async #fromAny<T>(need: 'pull' | 'resolve', ask: (client: RegistryClient) => Promise<T>): Promise<T> {
    const failures: string[] = [];
    const able = this.#clients.filter(({ can }) => can.includes(need));
    for (const [i, { client }] of able.entries()) {
      try {
        return await ask(client);
      } catch (error) {
        if (!(error instanceof ImageError) || error.code === 'disk-full') throw error;
        const said = failures.length === 0 ? '' : ` (mirrors: ${failures.join('; ')})`;
        if (i === able.length - 1)
          throw new ImageError(error.code, `${error.message}${said}`, { cause: error });
        failures.push(error.message);
      }
    }
    throw new ImageError('registry-error', `pull ${formatReference(this.#reference)}: no host can ${need}`);
  }
}
