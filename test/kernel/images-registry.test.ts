import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createConnection, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildImageLayout, type Entry } from '@amphipod/images/testing';
import { mountImage, openStore, scratch } from './images-support.ts';

// Debian's docker-registry, unmodified; images get there by skopeo.

const user = 'tester';
const password = 's3cret';
// bcrypt of the password, as `htpasswd -B` writes it.
const htpasswd = `${user}:$2y$05$abcdefghijklmnopqrstuuLK7U1u6pVRmL7L1BBM2aS35PSZnDXlK\n`;

interface RegistrySetup {
  withPassword?: boolean;
  tls?: { certificate: string; key: string };
  ip?: string;
}

/** Starts docker-registry on a free port, until the test is over. */
async function startRegistry(
  t: TestContext,
  { withPassword, tls, ip = '127.0.0.1' }: RegistrySetup = {},
): Promise<string> {
  const dir = scratch(t);
  const host = `${ip}:${await freePort(ip)}`;
  writeFileSync(`${dir}/htpasswd`, htpasswd);
  const auth = withPassword ? `auth:\n  htpasswd:\n    realm: tests\n    path: ${dir}/htpasswd\n` : '';
  const tlsConfig = tls ? `  tls:\n    certificate: ${tls.certificate}\n    key: ${tls.key}\n` : '';
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

async function freePort(ip: string): Promise<number> {
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

function push(layout: string, to: string, options: string[] = []): void {
  execFileSync('skopeo', [
    'copy',
    '-q',
    '--dest-tls-verify=false',
    ...options,
    `oci:${layout}`,
    `docker://${to}`,
  ]);
}

function build(t: TestContext, spec: Partial<Parameters<typeof buildImageLayout>[1]> = {}) {
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

test('pull by tag and by digest, as OCI and as Docker manifest; what runs is what was built', async (t) => {
  const host = await startRegistry(t);
  const { layout, id, manifestDigest } = build(t);
  push(layout, `${host}/some/app:v1`);
  push(layout, `${host}/some/app:docker`, ['--format', 'v2s2']);
  const store = await openStore(t);
  const image = await store.pull(`${host}/some/app:v1`);
  assert.deepEqual(
    { id: image.id, repoTags: image.repoTags, repoDigests: image.repoDigests, config: image.config },
    {
      id,
      repoTags: [`${host}/some/app:v1`],
      repoDigests: [`${host}/some/app@${manifestDigest}`],
      config: { Cmd: ['/bin/sh'], Env: ['A=b'] },
    },
  );
  const root = mountImage(t, store, image.id);
  assert.equal(
    execFileSync('chroot', [root, '/bin/sh', '-c', 'busybox cat /etc/greeting'], { encoding: 'utf8' }),
    'hello\n',
  );
  const docker = await store.pull(`${host}/some/app:docker`);
  assert.equal(docker.config.Cmd?.[0], '/bin/sh');
  await store.remove(image.id);
  await store.remove(docker.id);
  const byDigest = await store.pull(`${host}/some/app@${manifestDigest}`);
  assert.deepEqual([byDigest.repoTags, byDigest.repoDigests], [[], [`${host}/some/app@${manifestDigest}`]]);
});

test("an index gives this machine's image; without one, the error names what there is", async (t) => {
  const host = await startRegistry(t);
  const arm = build(t, {
    platform: { os: 'linux', architecture: 'arm64', variant: 'v8' },
    config: { User: 'arm' },
  });
  const amd = build(t, { platform: { os: 'linux', architecture: 'amd64' }, config: { User: 'amd' } });
  for (const { layout } of [arm, amd]) push(layout, `${host}/multi:${layout === arm.layout ? 'arm' : 'amd'}`);
  const entry = ({ layout }: { layout: string }) =>
    JSON.parse(readFileSync(`${layout}/index.json`, 'utf8')).manifests[0];
  const put = async (tag: string, manifests: unknown[]) => {
    const type = 'application/vnd.oci.image.index.v1+json';
    const answer = await fetch(`http://${host}/v2/multi/manifests/${tag}`, {
      method: 'PUT',
      headers: { 'Content-Type': type },
      body: JSON.stringify({ schemaVersion: 2, mediaType: type, manifests }),
    });
    assert.equal(answer.status, 201, await answer.text());
    return answer.headers.get('docker-content-digest')!;
  };
  const digest = await put('both', [entry(arm), entry(amd)]);
  await put('only-arm', [entry(arm)]);
  const store = await openStore(t);
  const platform = { os: 'linux', architecture: 'amd64' };
  const image = await store.pull(`${host}/multi:both`, { platform });
  assert.deepEqual([image.id, image.repoDigests], [amd.id, [`${host}/multi@${digest}`]]);
  await assert.rejects(store.pull(`${host}/multi:only-arm`, { platform }), {
    code: 'no-matching-platform',
    message: /no match for linux\/amd64.*linux\/arm64\/v8/,
  });
  await assert.rejects(store.pull(`${host}/multi:arm`, { platform }), { code: 'no-matching-platform' });
});

test('a registry with passwords: none and wrong ones are refused, right ones pull', async (t) => {
  const host = await startRegistry(t, { withPassword: true });
  const { layout, id } = build(t);
  push(layout, `${host}/private:1`, ['--dest-creds', `${user}:${password}`]);
  const store = await openStore(t);
  for (const auth of [
    undefined,
    { username: user, password: 'wrong' },
    { username: user, password, serverAddress: 'elsewhere' },
  ]) {
    await assert.rejects(store.pull(`${host}/private:1`, auth && { auth }), {
      code: 'unauthorized',
      message: new RegExp(`${host}: 401`),
    });
  }
  assert.equal((await store.pull(`${host}/private:1`, { auth: { username: user, password } })).id, id);
  const encoded = Buffer.from(`${user}:${password}`).toString('base64');
  assert.equal(
    (await store.pull(`${host}/private:1`, { auth: { auth: encoded, serverAddress: `http://${host}` } })).id,
    id,
  );
});

test('a registry with a certificate of its own: refused, then trusted by hosts.toml', async (t) => {
  if (spawnSync('openssl', ['version']).status !== 0)
    return t.skip('openssl is not installed: no certificate to serve');
  const dir = scratch(t);
  const [certificate, key] = [`${dir}/cert.pem`, `${dir}/key.pem`];
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-days',
      '2',
      '-subj',
      '/CN=tests',
      '-addext',
      'subjectAltName=IP:127.0.0.2',
      '-keyout',
      key,
      '-out',
      certificate,
    ],
    { stdio: 'ignore' },
  );
  const host = await startRegistry(t, { tls: { certificate, key }, ip: '127.0.0.2' });
  const { layout, id } = build(t);
  push(layout, `${host}/app:1`);
  const certsDir = `${dir}/certs.d`;
  mkdirSync(`${certsDir}/${host}`, { recursive: true });
  const retries = { attempts: 2, baseDelayMs: 10, maxDelayMs: 100 };
  const pull = async (toml: string) => {
    writeFileSync(`${certsDir}/${host}/hosts.toml`, toml);
    const store = await openStore(t, { registries: { certsDir }, retries });
    return store.pull(`${host}/app:1`);
  };
  await assert.rejects(pull(`server = "https://${host}"\n`), {
    code: 'registry-unavailable',
    message: /self-signed certificate/,
  });
  assert.equal((await pull(`server = "https://${host}"\nca = "../../cert.pem"\n`)).id, id);
  assert.equal((await pull(`server = "https://${host}"\nskip_verify = true\n`)).id, id);
});

test('unknown tag, unknown repository, no registry there: each an error that names the host', async (t) => {
  const host = await startRegistry(t);
  const store = await openStore(t, { retries: { attempts: 2, baseDelayMs: 10, maxDelayMs: 100 } });
  await assert.rejects(store.pull(`${host}/nothing:here`), {
    code: 'not-found',
    message: new RegExp(`tag here.*${host}`),
  });
  const closed = `127.0.0.1:${await freePort('127.0.0.1')}`;
  await assert.rejects(store.pull(`${closed}/x`), {
    code: 'registry-unavailable',
    message: new RegExp(`${closed}.*ECONNREFUSED`),
  });
  await assert.rejects(store.pull('Not A Name'), { code: 'invalid-reference' });
});
