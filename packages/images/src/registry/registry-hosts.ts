import { isLoopbackHost } from '../reference.ts';
import { readCertsDir } from './certs-dir.ts';
import type { ServerOptions, TlsOptions } from './http-exchange.ts';

/** Credentials that stand with a host; `helper` is the NAME of a program `docker-credential-NAME`. */
export type HostCredentials =
  | { username: string; password: string }
  | { identityToken: string }
  | { registryToken: string }
  | { helper: string };

/** A server that can be asked in place of a registry. */
export interface RegistryHost {
  /** `https://mirror.example:5000`, with a path if the mirror has one. */
  url: string;
  /** `resolve`: tags may be asked for; `pull`: content. Default both. */
  capabilities?: ('pull' | 'resolve')[];
  tls?: TlsOptions;
  headers?: Record<string, string | string[]>;
  /** The path of `url` is the API's root: no `/v2` is added. */
  overridePath?: boolean;
  /** For name resolution, connection and TLS handshake together. */
  dialTimeoutMs?: number;
  /** For this host alone. */
  credentials?: HostCredentials;
}

/** How registries are reached. */
export interface RegistryOptions {
  /** Hosts to ask first, by registry as it stands in image names; `_default` for those that are not listed. */
  mirrors?: Record<string, RegistryHost[]>;
  /** Registries that speak plain HTTP, beside those on loopback addresses. */
  plainHttp?: string[];
  /** Directory with `REGISTRY/hosts.toml` files as containerd has them. Read again for each pull. */
  certsDir?: string | undefined;
  /** Docker's config.json or containers' auth.json. Read again for each login. */
  authFile?: string | undefined;
  /** Has HTTP_PROXY, HTTPS_PROXY and NO_PROXY. Default: this process's environment. */
  env?: NodeJS.ProcessEnv;
}

/**
 * The hosts to ask for a registry's images, in order; the last is the registry itself.
 * @throws ImageError invalid-registry-config for a bad hosts.toml
 */
export function hostsOf(registry: string, options: RegistryOptions): RegistryHost[] {
  const mirrors = options.mirrors?.[registry] ?? options.mirrors?._default ?? [];
  const fromFile = options.certsDir === undefined ? undefined : readCertsDir(options.certsDir, registry);
  const server = { url: defaultUrl(registry, options.plainHttp ?? []), ...fromFile?.server };
  return [...mirrors, ...(fromFile?.hosts ?? []), server];
}

/**
 * How to reach a server that a registry sends us to (storage, token server): as its own directory says, which is how it would
 * be reached as a registry. Never with headers or credentials.
 */
export function serverOptions(url: URL, options: RegistryOptions): ServerOptions {
  const { url: address, tls, dialTimeoutMs } = hostsOf(url.host, options).at(-1)!;
  // `_default` or a `server` elsewhere say nothing of this one.
  return new URL(address).origin === url.origin ? { tls, dialTimeoutMs } : {};
}

function defaultUrl(registry: string, plainHttp: readonly string[]): string {
  const host = registry === 'docker.io' ? 'registry-1.docker.io' : registry;
  // The same with and without mirrors and files (field case REG-05).
  const isPlain = isLoopbackHost(registry) && !registry.endsWith(':443');
  return `${isPlain || plainHttp.includes(registry) ? 'http' : 'https'}://${host}`;
}
