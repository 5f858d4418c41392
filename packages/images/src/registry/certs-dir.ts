import { existsSync, readdirSync, statSync } from 'node:fs';
import { ImageError } from '../errors.ts';
import { readConfigFile } from './config-file.ts';
import { type HostsFile, parseHostsToml } from './hosts-toml.ts';

/**
 * What the directory of a registry below `certsDir` says: its hosts.toml, else its certificates in Docker's layout (`*.crt`
 * to trust, `*.cert` with `*.key` to show). The first that exists of `HOST_PORT_`, `HOST:PORT` and `_default` counts, as with
 * containerd. Undefined when there is none. @throws ImageError invalid-registry-config naming file and key
 */
export function readCertsDir(certsDir: string, registry: string): HostsFile | undefined {
  const names = new Set([registry.replace(/:([0-9]+)$/, '_$1_'), registry, '_default']);
  const dir = [...names].map((name) => `${certsDir}/${name}`).find((path) => existsSync(path));
  if (dir === undefined) return undefined;
  if (!statSync(dir).isDirectory())
    throw new ImageError('invalid-registry-config', `read ${dir}: not a directory`);
  const file = `${dir}/hosts.toml`;
  const text = existsSync(file) ? readConfigFile(file) : '';
  return text === '' ? certificatesIn(dir) : parseHostsToml(text, file);
}

function certificatesIn(dir: string): HostsFile {
  const names = readdirSync(dir).sort();
  const ca = names.filter((name) => name.endsWith('.crt')).map((name) => readConfigFile(`${dir}/${name}`));
  const client = names
    .filter((name) => name.endsWith('.cert'))
    .map((name) => {
      const key = `${name.slice(0, -'.cert'.length)}.key`;
      if (!names.includes(key))
        throw new ImageError('invalid-registry-config', `read ${dir}/${name}: there is no ${key} beside it`);
      return { cert: readConfigFile(`${dir}/${name}`), key: readConfigFile(`${dir}/${key}`) };
    });
  const tls = { ...(ca.length > 0 && { ca }), ...(client.length > 0 && { client }) };
  return { hosts: [], server: Object.keys(tls).length > 0 ? { tls } : {} };
}
