import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash, createPrivateKey, sign } from 'node:crypto';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { promisify } from 'node:util';
import { makeCertificate } from './images-certificates.ts';
import { build, password, push, startRegistry, user } from './images-docker-registry.ts';
import { answer, challenge, startFakeRegistry } from './images-fake-registry.ts';
import { setUp } from './images-faults-setup.ts';
import { openStore, scratch } from './images-support.ts';

// Debian's docker-registry with passwords, TLS, client certificates and tokens; and what TLS is not to be tricked into.

const retries = { attempts: 2, baseDelayMs: 10, maxDelayMs: 100 };
const right = { username: user, password };

/** A `certs.d` with one directory for a registry. */
function certsDirFor(t: TestContext, host: string) {
  const certsDir = `${scratch(t)}/certs.d`;
  mkdirSync(`${certsDir}/${host}`, { recursive: true });
  return {
    certsDir,
    dir: `${certsDir}/${host}`,
    write: (toml: string) => writeFileSync(`${certsDir}/${host}/hosts.toml`, toml),
  };
}

test('a registry with passwords: none and wrong ones are refused, right ones pull', async (t) => {
  const host = await startRegistry(t, { withPassword: true });
  const { layout, id } = build(t);
  await push(layout, `${host}/private:1`, ['--dest-creds', `${user}:${password}`]);
  const store = await openStore(t);
  for (const auth of [
    undefined,
    { username: user, password: 'wrong' },
    { ...right, serverAddress: 'elsewhere' },
  ]) {
    await assert.rejects(store.pull(`${host}/private:1`, auth && { auth }), {
      code: 'unauthorized',
      message: new RegExp(`${host}: 401`),
    });
  }
  assert.equal((await store.pull(`${host}/private:1`, { auth: right })).id, id);
  const encoded = Buffer.from(`${user}:${password}`).toString('base64');
  const auth = { auth: encoded, serverAddress: `http://${host}` };
  assert.equal((await store.pull(`${host}/private:1`, { auth })).id, id);
});

test('a registry with a certificate of its own: refused, then trusted by hosts.toml', async (t) => {
  const own = scratch(t);
  const { certificate, key } = makeCertificate(own, 'IP:127.0.0.2');
  const host = await startRegistry(t, { tls: { certificate, key }, ip: '127.0.0.2' });
  const { layout, id } = build(t);
  await push(layout, `${host}/app:1`);
  const { certsDir, write } = certsDirFor(t, host);
  const store = await openStore(t, { registries: { certsDir }, retries });
  const pulls = async (toml: string) => {
    write(toml);
    const image = await store.pull(`${host}/app:1`);
    await store.remove(id);
    return image.id === id;
  };
  const server = `server = "https://${host}"\n`;
  await assert.rejects(pulls(server), {
    code: 'registry-unavailable',
    message: new RegExp(`get tag 1 of app from ${host}: .*self-signed certificate`),
  });
  assert.ok(await pulls(`${server}ca = "${certificate}"\n`));
  assert.ok(await pulls(`${server}ca = ["${certificate}"]\n`));
  assert.ok(await pulls(`${server}skip_verify = true\n`));
  await assert.rejects(pulls(`${server}ca = "${key}"\n`), { code: 'registry-unavailable' });
  const mirrored = `[host."https://${host}"]\nca = "${certificate}"\n`;
  assert.ok(await pulls(mirrored), 'as a host of its own');
});

test('certificates that the system trusts are trusted', async (t) => {
  const dir = scratch(t);
  const { certificate, key } = makeCertificate(dir, 'IP:127.0.0.4');
  const host = await startRegistry(t, { tls: { certificate, key }, ip: '127.0.0.4', port: 443 });
  const { layout, id } = build(t);
  await push(layout, `${host}/app:1`);
  const script = `
    import { openImageStore } from '@amphipod/images';
    const retries = ${JSON.stringify(retries)};
    await using store = await openImageStore({ root: ${JSON.stringify(`${dir}/store`)}, retries });
    console.log((await store.pull('${host}/app:1')).id);`;
  const pull = async (env: NodeJS.ProcessEnv) => {
    const args = ['--input-type=module', '--eval', script];
    const { stdout } = await promisify(execFile)(process.execPath, args, { env: { ...process.env, ...env } });
    return stdout.trim();
  };
  await assert.rejects(pull({}), { message: /self-signed certificate/ });
  assert.equal(await pull({ SSL_CERT_FILE: certificate }), id);
});

test('certificates in the layout of Docker; port 443 of a loopback address speaks TLS', async (t) => {
  const { certificate, key } = makeCertificate(scratch(t), 'IP:127.0.0.3');
  const host = await startRegistry(t, { tls: { certificate, key }, ip: '127.0.0.3', port: 443 });
  const { layout, id } = build(t);
  await push(layout, `${host}/app:1`);
  const { certsDir, dir } = certsDirFor(t, host);
  const store = await openStore(t, { registries: { certsDir }, retries });
  await assert.rejects(store.pull(`${host}/app:1`), { message: /self-signed certificate/ });
  cpSync(certificate, `${dir}/ca.crt`);
  assert.equal((await store.pull(`${host}/app:1`)).id, id);
});

test('TLS with passwords and client certificates at once', async (t) => {
  const own = scratch(t);
  const { certificate, key } = makeCertificate(own, 'IP:127.0.0.2');
  const client = makeCertificate(own, 'DNS:node.example');
  const tls = { certificate, key, clientCa: client.certificate };
  const host = await startRegistry(t, { withPassword: true, tls, ip: '127.0.0.2' });
  const { layout, id } = build(t);
  const certDir = `${own}/push`;
  mkdirSync(certDir);
  cpSync(client.certificate, `${certDir}/client.cert`);
  cpSync(client.key, `${certDir}/client.key`);
  await push(layout, `${host}/app:1`, ['--dest-creds', `${user}:${password}`, '--dest-cert-dir', certDir]);
  const { certsDir, write } = certsDirFor(t, host);
  const store = await openStore(t, { registries: { certsDir }, retries });
  const server = `server = "https://${host}"\nca = "${certificate}"\n`;
  write(server);
  await assert.rejects(store.pull(`${host}/app:1`, { auth: right }), {
    code: 'registry-unavailable',
    message: new RegExp(`get tag 1 of app from ${host}: .*(?:certificate required|bad certificate)`),
  });
  write(`${server}client = [["${client.certificate}", "${client.key}"]]\n`);
  await assert.rejects(store.pull(`${host}/app:1`), {
    code: 'unauthorized',
    message: new RegExp(`${host}: 401`),
  });
  assert.equal((await store.pull(`${host}/app:1`, { auth: right })).id, id);
  await store.remove(id);
  write(
    `${server}client = [["${client.certificate}", "${client.key}"]]\n` +
      `[credentials]\nusername = "${user}"\npassword = "${password}"\n`,
  );
  assert.equal((await store.pull(`${host}/app:1`)).id, id);
  write(`${server}client = [["${certificate}", "${client.key}"]]\n`);
  await assert.rejects(store.pull(`${host}/app:1`), {
    code: 'invalid-registry-config',
    message: new RegExp(`set up TLS for ${host}: .*key`),
  });
});

test('a registry with tokens of a token server: with a password, as nobody, and with an identity token', async (t) => {
  const { certificate, pem } = makeCertificate(scratch(t), 'DNS:tokens.example');
  const issuer = 'tokens.example';
  const grants: string[] = [];
  const server = await startFakeRegistry(t, scratch(t), ({ url, headers, body }, response) => {
    const fields = new URL(url, 'http://x').searchParams;
    const form = new URLSearchParams(body);
    const basic = Buffer.from((headers.authorization ?? '').replace('Basic ', ''), 'base64').toString();
    const isKnown = basic === `${user}:${password}` || form.get('refresh_token') === 'refresh';
    const scope = fields.get('scope') ?? form.get('scope') ?? '';
    if (!isKnown && !scope.startsWith('repository:public:')) return answer(response, 401, 'who are you');
    grants.push(scope);
    const audience = fields.get('service') ?? form.get('service') ?? '';
    return answer(response, 200, JSON.stringify({ token: jwt({ scope, audience, issuer, pem }) }));
  });
  const host = await startRegistry(t, {
    token: { realm: `http://${server.host}/token`, issuer, certificate },
  });
  const { layout, id } = build(t);
  for (const name of ['private', 'public'])
    await push(layout, `${host}/${name}:1`, ['--dest-creds', `${user}:${password}`]);
  const store = await openStore(t, { retries });
  grants.length = 0;
  assert.equal((await store.pull(`${host}/private:1`, { auth: right })).id, id);
  assert.deepEqual(grants, ['repository:private:pull'], 'one token for the pull');
  await store.remove(id);
  assert.equal((await store.pull(`${host}/private:1`, { auth: { identityToken: 'refresh' } })).id, id);
  assert.equal((await store.pull(`${host}/public:1`)).id, id);
  await assert.rejects(store.pull(`${host}/private:1`), {
    code: 'unauthorized',
    message: new RegExp(`get token from ${server.host} for ${host}/private: 401: who are you`),
  });
});

/** A token as docker-registry takes it: signed by the key of a certificate that is in it. */
function jwt({
  scope,
  audience,
  issuer,
  pem,
}: {
  scope: string;
  audience: string;
  issuer: string;
  pem: { cert: string; key: string };
}): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const [type, name, actions] = scope.split(':') as [string, string, string];
  const now = Math.floor(Date.now() / 1000);
  const x5c = [pem.cert.replace(/-----[A-Z ]+-----|\s/g, '')];
  const claims = {
    iss: issuer,
    aud: audience,
    sub: user,
    iat: now,
    nbf: now - 5,
    exp: now + 300,
    jti: createHash('sha256').update(`${scope}${now}`).digest('hex'),
    access: [{ type, name, actions: actions.split(',') }],
  };
  const text = `${part({ typ: 'JWT', alg: 'ES256', x5c })}.${part(claims)}`;
  const key = { key: createPrivateKey(pem.key), dsaEncoding: 'ieee-p1363' as const };
  return `${text}.${sign('sha256', Buffer.from(text), key).toString('base64url')}`;
}

test('storage that a registry redirects to is trusted as its own directory says', async (t) => {
  const { certificate, pem } = makeCertificate(scratch(t), 'IP:127.0.0.1');
  const { layout } = await setUp(t);
  const storage = await startFakeRegistry(t, layout, undefined, { tls: pem });
  const { store, reference, id } = await setUp(t, {
    misbehave: ({ path }, response) =>
      path.includes('/blobs/') && answer(response, 307, '', { Location: `https://${storage.host}${path}` }),
  });
  await assert.rejects(store.pull(reference), {
    message: new RegExp(`self-signed certificate.*redirected to ${storage.host}`),
  });
  const { certsDir, write } = certsDirFor(t, storage.host);
  write(`server = "https://${storage.host}"\nca = "${certificate}"\n`);
  const trusting = await openStore(t, { retries, registries: { certsDir } });
  assert.equal((await trusting.pull(reference)).id, id);
});

test('credentials for a registry with TLS are not sent to a token server without', async (t) => {
  const { pem } = makeCertificate(scratch(t), 'IP:127.0.0.1');
  const { layout } = await setUp(t);
  const tokens = await startFakeRegistry(t, layout, (_request, response) =>
    answer(response, 200, '{"token":"good"}'),
  );
  const registry = await startFakeRegistry(
    t,
    layout,
    ({ headers }, response) => headers.authorization !== 'Bearer good' && challenge(response, tokens.host),
    { tls: pem },
  );
  const { certsDir, write } = certsDirFor(t, registry.host);
  write(`server = "https://${registry.host}"\nskip_verify = true\n`);
  const store = await openStore(t, { retries, registries: { certsDir } });
  await assert.rejects(store.pull(`${registry.host}/t:1`, { auth: right }), {
    code: 'unauthorized',
    message: new RegExp(`credentials sent to http://${tokens.host} without encryption`),
  });
  assert.deepEqual(tokens.requests, []);
  await store.pull(`${registry.host}/t:1`);
});
