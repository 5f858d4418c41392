import { readFileSync } from 'node:fs';
import { CniError, type Dns } from '@amphipod/cni';

/** Reads a file in the form of resolv.conf(5). @throws CniError io-failure */
export function readResolvConf(path: string): Dns {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    throw new CniError('io-failure', `read resolvConf ${JSON.stringify(path)}: ${(cause as Error).message}`, {
      cause,
    });
  }
  return parseResolvConf(text);
}

export function parseResolvConf(text: string): Dns {
  const dns: Dns = {};
  for (const line of text.split('\n')) {
    const [keyword, ...values] = line.trim().split(/\s+/);
    if (line.startsWith('#') || line.startsWith(';') || values.length === 0) continue;
    if (keyword === 'nameserver') dns.nameservers = [...(dns.nameservers ?? []), values[0]!];
    else if (keyword === 'domain') dns.domain = values[0]!;
    else if (keyword === 'search') dns.search = [...(dns.search ?? []), ...values];
    else if (keyword === 'options') dns.options = [...(dns.options ?? []), ...values];
  }
  return dns;
}
