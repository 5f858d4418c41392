import { chownSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { MS, mount, unmount } from '@amphipod/linux';
import type { RuntimeContext } from '../context.ts';
import type { DNSConfig } from '../gen/api.ts';
import { readText } from '../read-text.ts';
import type { Sandbox } from '../store/records.ts';
import { hostnameOf } from './namespaces.ts';
import { sandboxPaths } from './paths.ts';
import { podRoot } from './user-namespace.ts';

/** Writes the files that all containers of a pod share, and mounts its /dev/shm (64 MiB). */
export function createSandboxFiles(context: RuntimeContext, sandbox: Sandbox): void {
  const paths = sandboxPaths(context.config, sandbox.id);
  const { config, namespaces } = sandbox;
  mkdirSync(paths.dir, { recursive: true, mode: 0o711 });
  writeFileSync(paths.resolvConf, resolvConf(config.dnsConfig));
  writeFileSync(paths.hostname, `${hostnameOf(sandbox)}\n`);
  writeFileSync(paths.hosts, readText('/etc/hosts'));
  const [uid, gid] = podRoot(sandbox);
  for (const file of [paths.resolvConf, paths.hostname, paths.hosts]) chownSync(file, uid, gid);
  if (namespaces.ipc === 'pod') {
    mkdirSync(paths.shm);
    mount(paths.shm, {
      source: 'shm',
      type: 'tmpfs',
      flags: MS.NOSUID | MS.NODEV | MS.NOEXEC,
      data: `mode=1777,size=65536k,uid=${uid},gid=${gid}`,
    });
  }
  if (config.logDirectory !== '') mkdirSync(config.logDirectory, { recursive: true, mode: 0o755 });
}

/** Undoes {@link createSandboxFiles}, logs excepted; fine when they are gone. */
export function removeSandboxFiles(context: RuntimeContext, sandboxId: string): void {
  const paths = sandboxPaths(context.config, sandboxId);
  unmount(paths.shm);
  rmSync(paths.dir, { recursive: true, force: true });
}

/** Unset: as the node's. Set: just what it says, also when that is nothing (api.proto, DNSConfig). */
function resolvConf(dns: DNSConfig | undefined): string {
  if (dns === undefined) return readText('/etc/resolv.conf');
  const lines = dns.servers.map((server) => `nameserver ${server}`);
  if (dns.searches.length > 0) lines.unshift(`search ${dns.searches.join(' ')}`);
  if (dns.options.length > 0) lines.push(`options ${dns.options.join(' ')}`);
  return lines.map((line) => `${line}\n`).join('');
}
