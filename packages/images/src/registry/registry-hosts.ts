import { isLoopbackHost } from '../reference.ts';
import { readHostsToml } from './hosts-toml.ts';
import type { TlsOptions } from './http-exchange.ts';

/** A server that can be asked in place of a registry. */
export interface RegistryHost {
  /** `https://mirror.example:5000`, with a path if the mirror has one. */
  url: string;
  /** `resolve`: tags may be asked for; `pull`: content. Default both. */
  capabilities?: ('pull' | 'resolve')[];
  tls?: TlsOptions;
  headers?: Record<string, string>;
  /** The path of `url` is the API's root: no `/v2` is added. */
  overridePath?: boolean;
}

/** How registries are reached. */
export interface RegistryOptions {
  /** Hosts to ask first, by registry as it stands in image names; `_default` for those that are not listed. */
  mirrors?: Record<string, RegistryHost[]>;
  /** Registries that speak plain HTTP, beside those on loopback addresses. */
  plainHttp?: string[];
  /** Directory with `REGISTRY/hosts.toml` files as containerd has them. */
  certsDir?: string;
}

/** The hosts to ask for a registry's images, in order; the last is the registry itself. @throws ImageError for a bad hosts.toml */
export function hostsOf(registry: string, options: RegistryOptions): RegistryHost[] {
  const mirrors = options.mirrors?.[registry] ?? options.mirrors?._default ?? [];
  const fromFile = options.certsDir === undefined ? undefined : readHostsToml(options.certsDir, registry);
  const server = fromFile?.server ?? defaultHost(registry, options.plainHttp ?? []);
  return [...mirrors, ...(fromFile?.hosts ?? []), server];
}

function defaultHost(registry: string, plainHttp: readonly string[]): RegistryHost {
  const host = registry === 'docker.io' ? 'registry-1.docker.io' : registry;
  // The same with and without mirrors and files (field case REG-05).
  const scheme = isLoopbackHost(registry) || plainHttp.includes(registry) ? 'http' : 'https';
  return { url: `${scheme}://${host}` };
}
