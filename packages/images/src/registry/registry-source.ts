import { writeFile } from 'node:fs/promises';
import { ImageError } from '../errors.ts';
import type { Platform, RegistryAuth } from '../image.ts';
import { choosePlatform, type Descriptor, type Manifest, parseManifest } from '../manifest.ts';
import { formatReference, type Reference } from '../reference.ts';
import type { SignatureSource } from '../signatures/cosign-signatures.ts';
import type { BlobSource, FetchOptions } from '../store/store-contents.ts';
import { isSameHost } from './credentials.ts';
import { downloadBlob } from './download-blob.ts';
import { findCredentials } from './find-credentials.ts';
import type { HttpConnections } from './http-exchange.ts';
import { type FetchedManifest, RegistryClient } from './registry-client.ts';
import { hostsOf, type RegistryOptions, serverOptions } from './registry-hosts.ts';
import type { RetryPolicy } from './retries.ts';

export interface SourceOptions {
  reference: Reference;
  auth?: RegistryAuth | undefined;
  registries: RegistryOptions;
  connections: HttpConnections;
  retries: RetryPolicy;
}

type Capability = 'pull' | 'resolve';

const maxIndexDepth = 4;
/** Mirrors are there to be passed over. */
const mirrorAttempts = 2;

/** A repository at its registry and the registry's mirrors, as a source of manifests, blobs and signatures. */
export class RegistrySource implements BlobSource, SignatureSource {
  readonly queue: string;
  readonly #reference: Reference;
  readonly #clients: { client: RegistryClient; retries: RetryPolicy; can: Capability[] }[];
  /** Mirrors that could not be reached, with what was said: waiting for them again at every blob would take forever. */
  readonly #unreachable = new Map<RegistryClient, string>();
  /** Manifests that have been fetched on the way to the image. */
  readonly #documents = new Map<string, Buffer>();

  /** @throws ImageError invalid-registry-config for a bad hosts.toml */
  constructor({ reference, auth, registries, connections, retries }: SourceOptions) {
    const { registry, repository } = reference;
    this.queue = registry;
    this.#reference = reference;
    const hosts = hostsOf(registry, registries);
    this.#clients = hosts.map((host, i) => {
      const isLast = i === hosts.length - 1;
      const isMirror = !isLast && !isSameHost(host.url, registry);
      const own = isLast ? retries : { ...retries, attempts: Math.min(retries.attempts, mirrorAttempts) };
      const { authFile } = registries;
      const client = new RegistryClient({
        host,
        registry,
        repository,
        findCredentials: (signal) =>
          findCredentials({ host, registry, repository, isMirror, auth, authFile, signal }),
        otherServers: (url) => serverOptions(url, registries),
        connections,
        retries: own,
      });
      return { client, retries: own, can: host.capabilities ?? ['pull', 'resolve'] };
    });
  }

  /** From the reference to the manifest for a platform. @throws ImageError */
  async resolve(
    platform: Platform,
    signal: AbortSignal,
  ): Promise<{ manifest: Manifest; documents: Descriptor[] }> {
    const what = formatReference(this.#reference);
    const documents: Descriptor[] = [];
    let wanted = this.#reference.digest ?? this.#reference.tag!;
    while (documents.length <= maxIndexDepth) {
      const fetched = await this.#fromAny(wanted.includes(':') ? 'pull' : 'resolve', ({ client }) =>
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
    await this.#fromAny('pull', ({ client, retries }) =>
      downloadBlob(client, { descriptor, path, retries }, options),
    );
  }

  /** Of whoever has it: for what is verified by other means than by whom it came from. */
  getManifest(reference: string, signal: AbortSignal): Promise<FetchedManifest> {
    return this.#fromAny('pull', ({ client }) => client.getManifest(reference, signal));
  }

  getSmallBlob(descriptor: { digest: string }, signal: AbortSignal): Promise<Buffer> {
    return this.#fromAny('pull', ({ client }) => client.getSmallBlob(descriptor, signal));
  }

  getReferrers(digest: string, signal: AbortSignal): Promise<Buffer> {
    return this.#fromAny('pull', ({ client }) => client.getReferrers(digest, signal));
  }

  #keep({ bytes, digest }: FetchedManifest, mediaType: string): Descriptor {
    this.#documents.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  }

  /** Asks one host after the other. The error is the last one's, the registry's own, with what the mirrors said. */
  async #fromAny<T>(
    need: Capability,
    ask: (host: { client: RegistryClient; retries: RetryPolicy }) => Promise<T>,
  ): Promise<T> {
    const failures: string[] = [];
    const able = this.#clients.filter(({ can }) => can.includes(need));
    for (const [i, host] of able.entries()) {
      const known = this.#unreachable.get(host.client);
      if (known !== undefined && i < able.length - 1) {
        failures.push(known);
        continue;
      }
      try {
        return await ask(host);
      } catch (error) {
        if (!(error instanceof ImageError) || error.code === 'disk-full') throw error;
        const said = failures.length === 0 ? '' : ` (mirrors: ${failures.join('; ')})`;
        if (i === able.length - 1)
          throw new ImageError(error.code, `${error.message}${said}`, { cause: error });
        failures.push(error.message);
        if (error.code === 'registry-unavailable') this.#unreachable.set(host.client, error.message);
      }
    }
    throw new ImageError(
      'invalid-registry-config',
      `pull ${formatReference(this.#reference)}: no host of its hosts.toml has the capability "${need}"`,
    );
  }
}
