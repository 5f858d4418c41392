import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createConnection, createServer } from 'node:net';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { buildImageLayout, type Entry } from '@amphipod/images/testing';
import { scratch } from './images-support.ts';

// Debian's docker-registry, unmodified; images get there by skopeo.

export const user = 'tester';
export const password = 's3cret';
// bcrypt of the password, as `htpasswd -B` writes it.
const htpasswd = `${user}:$2y$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n`;

export interface RegistrySetup {
  withPassword?: boolean;
  /** Tokens that it takes: from where, and whose certificate must be in them. */
  token?: { realm: string; issuer: string; certificate: string };
  tls?: { certificate: string; key: string; clientCa?: string };
  ip?: string;
  /** Default: a free one. */
  port?: number;
}

/** Starts docker-registry on a free port, until the test is over. */
export async function startRegistry(
  t: TestContext,
  { withPassword, token, tls, ip = '127.0.0.1', port }: RegistrySetup = {},
): Promise<string> {
  const dir = scratch(t);
  const host = `${ip}:${port ?? (await freePort(ip))}`;
  writeFileSync(`${dir}/htpasswd`, htpasswd);
  let auth = withPassword ? `auth:\n  htpasswd:\n    realm: tests\n    path: ${dir}/htpasswd\n` : '';
  if (token !== undefined)
    auth =
      `auth:\n  token:\n    realm: ${token.realm}\n    service: ${host}\n` +
      `    issuer: ${token.issuer}\n    rootcertbundle: ${token.certificate}\n`;
  const clientCa = tls?.clientCa === undefined ? '' : `    clientcas:\n      - ${tls.clientCa}\n`;
  const tlsConfig = tls
    ? `  tls:\n    certificate: ${tls.certificate}\n    key: ${tls.key}\n${clientCa}`
    : '';
  writeFileSync(
    `${dir}/config.yml`,
    `version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\n` +
      `storage:\n  filesystem:\n    rootdirectory: ${dir}/data\n${auth}http:\n  addr: ${host}\n${tlsConfig}`,
  );
  const registry = spawn('docker-registry', ['serve', `${dir}/config.yml`], { stdio: 'ignore' });
  t.after(async () => {
    if (registry.exitCode !== null) return;
    registry.kill('SIGKILL');
    await once(registry, 'exit');
  });
  for (let tries = 0; !(await answers(host)); tries++) {
    assert.ok(tries < 200 && registry.exitCode === null, 'docker-registry does not listen');
    await sleep(50);
  }
  return host;
}

export async function freePort(ip: string): Promise<number> {
  const server = createServer().listen(0, ip);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

async function answers(host: string): Promise<boolean> {
  const [ip, port] = host.split(':');
  const socket = createConnection(Number(port), ip);
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** Copies the image of a layout to a registry. */
export async function push(layout: string, to: string, options: string[] = []): Promise<void> {
  const args = ['copy', '-q', '--dest-tls-verify=false', ...options, `oci:${layout}`, `docker://${to}`];
  await promisify(execFile)('skopeo', args);
}

/** An image of two layers with a busybox that runs. */
export function build(t: TestContext, spec: Partial<Parameters<typeof buildImageLayout>[1]> = {}) {
  const layout = `${scratch(t)}/layout`;
  const layers: Entry[][] = [
    [
      { path: 'bin/busybox', data: readFileSync('/bin/busybox'), mode: 0o4755 },
      { path: 'bin/sh', type: 'symlink', linkPath: 'busybox' },
    ],
    [{ path: 'etc/greeting', data: 'hello\n' }],
  ];
  return {
    layout,
    ...buildImageLayout(layout, { layers, config: { Cmd: ['/bin/sh'], Env: ['A=b'] }, ...spec }),
  };
}
