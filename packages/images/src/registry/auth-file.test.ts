import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { type TestContext, test } from 'node:test';
import { credentialsFromFile, parseAuthFile } from './auth-file.ts';
import { credentialsFor } from './credentials.ts';
import { findCredentials } from './find-credentials.ts';

const encoded = (text: string) => Buffer.from(text).toString('base64');

function scratch(t: TestContext): string {
  const dir = mkdtempSync(`${tmpdir()}/amphipod-auth-`);
  t.after(() => rmSync(dir, { recursive: true }));
  return dir;
}

function authFile(t: TestContext, json: object): string {
  const file = `${scratch(t)}/config.json`;
  writeFileSync(file, JSON.stringify(json));
  return file;
}

/** Puts `docker-credential-NAME` into the path for a test. */
function helper(t: TestContext, name: string, script: string): void {
  const dir = scratch(t);
  writeFileSync(`${dir}/docker-credential-${name}`, `#!/bin/sh\n${script}\n`);
  chmodSync(`${dir}/docker-credential-${name}`, 0o755);
  const path = process.env.PATH;
  process.env.PATH = `${dir}:${path}`;
  t.after(() => {
    process.env.PATH = path;
  });
}

test('credentials of a pull are only for the server that they name, else for the registry and no mirror', () => {
  const auth = { username: 'u', password: 'p' };
  assert.equal(credentialsFor('quay.io', { ...auth, serverAddress: 'https://quay.io/v2/' }).kind, 'basic');
  const hub = { ...auth, serverAddress: 'https://index.docker.io/v1/' };
  assert.equal(credentialsFor('docker.io', hub).kind, 'basic');
  assert.equal(credentialsFor('quay.io', { ...auth, serverAddress: 'quay.io.evil.example' }).kind, 'none');
  assert.equal(credentialsFor('cache.example', auth, { isMirror: true }).kind, 'none');
  const forMirror = { ...auth, serverAddress: 'cache.example' };
  assert.equal(credentialsFor('cache.example', forMirror, { isMirror: true }).kind, 'basic');
  assert.deepEqual(credentialsFor('quay.io', { auth: encoded('u:p:q\0\0') }), {
    kind: 'basic',
    username: 'u',
    password: 'p:q',
  });
  assert.equal(credentialsFor('quay.io', { registryToken: 't', ...auth }).kind, 'bearer');
  assert.equal(credentialsFor('quay.io', { identityToken: 't', ...auth }).kind, 'identity');
  assert.throws(() => credentialsFor('quay.io', { auth: 'c2VjcmV0' }), {
    code: 'unauthorized',
    message: /log in to quay\.io: the credentials' "auth" is not base64 of "username:password"/,
  });
});

test('auth files: docker and containers spellings; the entry that names most of the path counts', async (t) => {
  const file = authFile(t, {
    auths: {
      'https://index.docker.io/v1/': { auth: encoded('hub:h') },
      'quay.io': { auth: encoded('host:1') },
      'quay.io/team': { auth: encoded('team:2') },
      'quay.io/team/app': { auth: encoded('app:3') },
      'https://reg.example:5000': { username: 'plain', password: 'p' },
      'token.example': { identitytoken: 'idt' },
      'bearer.example': { registrytoken: 'reg' },
      'only.example/team': { auth: encoded('only:4') },
      'empty.example': {},
    },
    HttpHeaders: { 'User-Agent': 'x' },
  });
  const who = async (server: string, repository = 'x') => {
    const found = await credentialsFromFile(file, { server, repository });
    return found.kind === 'basic'
      ? found.username
      : `${found.kind}${'token' in found ? `:${found.token}` : ''}`;
  };
  assert.equal(await who('docker.io', 'library/busybox'), 'hub');
  assert.equal(await who('quay.io', 'other/app'), 'host');
  assert.equal(await who('quay.io', 'team/else'), 'team');
  assert.equal(await who('quay.io', 'team/app'), 'app');
  assert.equal(await who('quay.io', 'team/app/more'), 'app');
  assert.equal(await who('quay.io', 'teams/app'), 'host');
  assert.equal(await who('reg.example:5000'), 'plain');
  assert.equal(await who('token.example'), 'identity:idt');
  assert.equal(await who('bearer.example'), 'bearer:reg');
  assert.equal(await who('only.example', 'team/x'), 'only');
  assert.equal(await who('only.example', 'other/x'), 'none');
  assert.equal(await who('empty.example'), 'none');
  assert.equal(await who('unknown.example'), 'none');
});

test('auth files: mistakes name file and key, and show no secret', () => {
  const cases: [text: string, message: RegExp][] = [
    ['{"auths": "secret', /^read f\.json: not JSON$/],
    ['[]', /not a JSON object/],
    ['{"auths": []}', /auths must be an object/],
    ['{"auths": {"a": "secret"}}', /auths\["a"\] must be an object/],
    ['{"auths": {"a": {"auth": 5}}}', /auths\["a"\]\.auth must be a string/],
    ['{"credHelpers": {"a": 1}}', /credHelpers\["a"\] must be the name of a helper/],
    ['{"credHelpers": 1}', /credHelpers must be an object/],
    ['{"credsStore": 1}', /credsStore must be the name of a helper/],
  ];
  for (const [text, message] of cases)
    assert.throws(
      () => parseAuthFile(text, 'f.json'),
      (error: Error & { code: string }) => {
        assert.equal(error.code, 'invalid-registry-config');
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /secret/);
        return true;
      },
    );
});

test('credential helpers: asked with the server, identity tokens marked, "not found" is none', async (t) => {
  helper(
    t,
    'fake',
    `read -r server
case "$1 $server" in
  "get reg.example") echo '{"ServerURL":"reg.example","Username":"u","Secret":"s"}';;
  "get token.example") echo '{"Username":"<token>","Secret":"idt"}';;
  "get https://index.docker.io/v1/") echo '{"Username":"hub","Secret":"s"}';;
  "get broken.example") echo 'no json';;
  "get fails.example") echo 'keychain locked' >&2; exit 3;;
  *) echo 'credentials not found in native keychain'; exit 1;;
esac`,
  );
  const file = authFile(t, {
    credsStore: 'fake',
    credHelpers: { 'missing.example': 'not-installed', 'bad.example': '../x' },
    auths: { 'other.example': { auth: encoded('file:p') }, 'reg.example': {} },
  });
  const find = (server: string) => credentialsFromFile(file, { server, repository: 'x' });
  assert.deepEqual(await find('reg.example'), { kind: 'basic', username: 'u', password: 's' });
  assert.deepEqual(await find('token.example'), { kind: 'identity', token: 'idt' });
  assert.deepEqual(await find('docker.io'), { kind: 'basic', username: 'hub', password: 's' });
  assert.deepEqual(await find('other.example'), { kind: 'basic', username: 'file', password: 'p' });
  assert.deepEqual(await find('unknown.example'), { kind: 'none' });
  for (const [server, message] of [
    [
      'broken.example',
      /read .*config\.json: ask docker-credential-fake for "broken\.example": its answer is not JSON/,
    ],
    ['fails.example', /exit code 3: keychain locked/],
    ['missing.example', /ask docker-credential-not-installed for "missing\.example": .*ENOENT/],
    ['bad.example', /not the name of a credential helper/],
  ] as const)
    await assert.rejects(find(server), { code: 'invalid-registry-config', message });
});

test('a credential helper that hangs ends with the pull', async (t) => {
  helper(t, 'slow', 'exec sleep 1000');
  const controller = new AbortController();
  const asked = credentialsFromFile(authFile(t, { credsStore: 'slow' }), {
    server: 'reg.example',
    repository: 'x',
    signal: controller.signal,
  });
  setTimeout(() => controller.abort(new Error('enough')), 50);
  await assert.rejects(asked, /enough/);
});

test('the order of sources: the pull request, hosts.toml, the auth file; a mirror has its own', async (t) => {
  const file = authFile(t, {
    auths: { 'reg.example': { auth: encoded('file:p') }, 'mirror.example': { auth: encoded('mirror:p') } },
  });
  const find = async (url: string, more: object = {}) => {
    const found = await findCredentials({
      host: { url, ...more },
      registry: 'reg.example',
      repository: 'x',
      isMirror: url.includes('mirror'),
      authFile: file,
      ...('auth' in more && { auth: more.auth as object }),
    });
    return found.kind === 'basic' ? found.username : found.kind;
  };
  const auth = { username: 'request', password: 'p' };
  const credentials = { username: 'toml', password: 'p' };
  assert.equal(await find('https://reg.example', { auth, credentials }), 'request');
  assert.equal(await find('https://reg.example', { credentials }), 'toml');
  assert.equal(await find('https://reg.example'), 'file');
  assert.equal(await find('https://moved.example'), 'file', 'known by the name in the image');
  assert.equal(await find('https://mirror.example', { auth }), 'mirror');
  assert.equal(await find('https://mirror.example', { auth, credentials }), 'toml');
  assert.equal(await find('https://mirror2.example', { auth }), 'none');
});
