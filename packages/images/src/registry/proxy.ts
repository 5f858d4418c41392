import { BlockList, isIP } from 'node:net';
import { ImageError } from '../errors.ts';
import { isLoopbackHost } from '../reference.ts';

/**
 * The proxy for requests to `url`, undefined for a direct connection. HTTPS_PROXY, HTTP_PROXY and NO_PROXY (or in lower case)
 * mean what they mean to containerd and the kubelet (golang.org/x/net/http/httpproxy). Loopback hosts never have one.
 * @throws ImageError invalid-registry-config for a proxy of another kind than HTTP
 */
export function proxyFor(url: URL, env: NodeJS.ProcessEnv): URL | undefined {
  const name = url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY';
  const text = variable(env, name);
  if (text === '' || isLoopbackHost(url.host) || isExcluded(url, variable(env, 'NO_PROXY'))) return undefined;
  const proxy = URL.parse(text.includes('://') ? text : `http://${text}`);
  if (proxy === null || !/^https?:$/.test(proxy.protocol) || proxy.hostname === '') {
    const shown = text.replace(/\/\/.*@/, '//…@');
    throw new ImageError(
      'invalid-registry-config',
      `read ${name}: ${JSON.stringify(shown)} is not the address of an HTTP proxy`,
    );
  }
  return proxy;
}

function variable(env: NodeJS.ProcessEnv, name: string): string {
  return (env[name] || env[name.toLowerCase()] || '').trim();
}

/** True when NO_PROXY names the host: a domain (with all below it), `.domain`, an address, a range in CIDR form, each perhaps with a port, or `*`. */
function isExcluded(url: URL, noProxy: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '').toLowerCase();
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  return noProxy.split(',').some((entry) => excludes(entry.trim().toLowerCase(), host, port));
}

function excludes(entry: string, host: string, port: string): boolean {
  if (entry === '') return false;
  if (entry === '*') return true;
  if (entry.includes('/')) return isInRange(entry, host);
  const [, name = '', wantedPort] = /^(.*?)(?::([0-9]+))?$/.exec(isIP(entry) ? `[${entry}]` : entry)!;
  if (wantedPort !== undefined && wantedPort !== port) return false;
  const domain = name.replace(/^\[|\]$/g, '').replace(/^\*\./, '.');
  if (domain.startsWith('.')) return host.endsWith(domain);
  return host === domain || (isIP(host) === 0 && host.endsWith(`.${domain}`));
}

function isInRange(entry: string, host: string): boolean {
  const [address = '', length] = entry.split('/');
  const family = isIP(address);
  if (family === 0 || family !== isIP(host) || !/^[0-9]{1,3}$/.test(length ?? '')) return false;
  const bits = family === 4 ? 32 : 128;
  if (Number(length) > bits) return false;
  const list = new BlockList();
  list.addSubnet(address, Number(length), family === 4 ? 'ipv4' : 'ipv6');
  return list.check(host, family === 4 ? 'ipv4' : 'ipv6');
}
