import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { answer, cut, type Misbehaviour, startFakeRegistry, startRawServer } from './images-fake-registry.ts';
import { isLayer, retries, setUp } from './images-faults-setup.ts';
import { openStore, scratch } from './images-support.ts';

test('REG-05: a missing tag on a plain-HTTP registry is a missing tag, with and without a hosts directory', async (t) => {
  const { registry } = await setUp(t, {
    misbehave: ({ path }, response) =>
      path.includes('/manifests/') && answer(response, 404, '{"errors":[{"code":"MANIFEST_UNKNOWN"}]}'),
  });
  const certsDir = scratch(t);
  for (const registries of [{}, { certsDir }]) {
    const store = await openStore(t, { retries, registries });
    await assert.rejects(store.pull(`${registry.host}/t:none`), {
      code: 'not-found',
      message: new RegExp(`get tag none of t.*not found at ${registry.host}`),
    });
  }
});

test("mirrors from hosts.toml are asked first, without the registry's credentials, and passed over when they fail", async (t) => {
  const { registry, id, layout } = await setUp(t);
  const auths: unknown[] = [];
  const mirror = await startFakeRegistry(t, layout, ({ headers, path }, response, blob) => {
    auths.push(headers.authorization);
    return isLayer(path, blob) && answer(response, 404);
  });
  const certsDir = scratch(t);
  mkdirSync(`${certsDir}/images.example`);
  writeFileSync(
    `${certsDir}/images.example/hosts.toml`,
    `server = "http://${registry.host}"\n[host."http://${mirror.host}"]\ncapabilities = ["pull", "resolve"]\n[host."http://127.0.0.1:1"]\n`,
  );
  const store = await openStore(t, { retries, registries: { certsDir } });
  const image = await store.pull('images.example/t:1', { auth: { username: 'u', password: 'p' } });
  assert.equal(image.id, id);
  assert.deepEqual(image.repoTags, ['images.example/t:1']);
  assert.deepEqual(
    registry.requests.filter((request) => request.includes('manifests')),
    [],
  );
  assert.equal(registry.requests.length, 2, 'the two layers');
  assert.deepEqual(new Set(auths), new Set([undefined]));
});

const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;

/** A mirror of the image, and a hosts.toml for `images.example` whose server is the registry itself. */
async function withMirror(
  t: TestContext,
  { toml, misbehave }: { toml: (mirrorHost: string) => string; misbehave?: Misbehaviour },
) {
  const { registry, id, layout } = await setUp(t);
  const mirror = await startFakeRegistry(t, layout, misbehave);
  const certsDir = scratch(t);
  mkdirSync(`${certsDir}/images.example`);
  const write = (text: string) =>
    writeFileSync(`${certsDir}/images.example/hosts.toml`, `server = "http://${registry.host}"\n${text}`);
  write(toml(mirror.host));
  const store = await openStore(t, { retries, registries: { certsDir, authFile: `${certsDir}/auth.json` } });
  const auths = (entries: object) =>
    writeFileSync(`${certsDir}/auth.json`, JSON.stringify({ auths: entries }));
  auths({});
  return { registry, mirror, id, store, write, auths, reference: 'images.example/t:1' };
}

test("a mirror's own credentials: from hosts.toml, from the auth file, from a pull that names it", async (t) => {
  const plain = (host: string) => `[host."http://${host}"]\n`;
  const { store, reference, mirror, registry, id, write, auths } = await withMirror(t, {
    toml: plain,
    misbehave: ({ headers }, response) =>
      headers.authorization !== basic('m:good') &&
      answer(response, 401, '', { 'WWW-Authenticate': 'Basic realm="m"' }),
  });
  const pullsFromMirror = async (options: Parameters<typeof store.pull>[1] = {}) => {
    registry.requests.length = 0;
    assert.equal((await store.pull(reference, options)).id, id);
    await store.remove(id);
    return registry.requests.length === 0;
  };
  const mine = { username: 'm', password: 'good' };
  assert.equal(await pullsFromMirror({ auth: mine }), false, 'those are for the registry');
  assert.equal(await pullsFromMirror({ auth: { ...mine, serverAddress: mirror.host } }), true);
  auths({ [mirror.host]: { auth: basic('m:good').slice(6) } });
  assert.equal(await pullsFromMirror(), true);
  auths({ 'images.example': { auth: basic('m:good').slice(6) } });
  assert.equal(await pullsFromMirror(), false);
  write(
    `${plain(mirror.host)}[host."http://${mirror.host}".credentials]\nusername = "m"\npassword = "good"\n`,
  );
  assert.equal(await pullsFromMirror(), true, 'without a restart');
});

test('capabilities: who may not resolve is asked for no tag, who may not pull for no content', async (t) => {
  const pull = (host: string, list: string) => `[host."http://${host}"]\ncapabilities = [${list}]\n`;
  const { store, reference, mirror, registry, id, write } = await withMirror(t, {
    toml: (host) => pull(host, '"pull"'),
  });
  const kinds = ({ requests }: { requests: string[] }) => requests.map((text) => text.split('/')[3]);
  assert.equal((await store.pull(reference)).id, id);
  assert.deepEqual([kinds(registry), kinds(mirror)], [['manifests'], ['blobs', 'blobs', 'blobs']]);
  await store.remove(id);
  registry.requests.length = mirror.requests.length = 0;
  write(pull(mirror.host, '"resolve", "push"'));
  assert.equal((await store.pull(reference)).id, id);
  assert.deepEqual([kinds(mirror), kinds(registry)], [['manifests'], ['blobs', 'blobs', 'blobs']]);
  await store.remove(id);
  write(`capabilities = ["push"]\n${pull(mirror.host, '"resolve"')}`);
  await assert.rejects(store.pull(reference), {
    code: 'invalid-registry-config',
    message: 'pull images.example/t:1: no host of its hosts.toml has the capability "pull"',
  });
});

test('paths of mirrors: below a path, with /v2 in it, and with override_path; mirrors are told the registry', async (t) => {
  const seen: string[] = [];
  const { store, reference, mirror, id, write } = await withMirror(t, {
    toml: (host) => `[host."http://${host}/cache"]`,
    misbehave: ({ url }) => {
      seen.push(url.replace(/sha256:.*/, '…'));
      return false;
    },
  });
  for (const [text, path] of [
    ['cache', '/cache/v2/t/manifests/1?ns=images.example'],
    ['cache/v2', '/cache/v2/t/manifests/1?ns=images.example'],
    ['v2', '/v2/t/manifests/1?ns=images.example'],
  ] as const) {
    write(`[host."http://${mirror.host}/${text}"]`);
    seen.length = 0;
    assert.equal((await store.pull(reference)).id, id);
    await store.remove(id);
    assert.equal(seen[0], path);
  }
  write(`[host."http://${mirror.host}/cache"]\noverride_path = true`);
  seen.length = 0;
  assert.equal((await store.pull(reference)).id, id);
  assert.equal(seen[0], '/cache/t/manifests/1?ns=images.example');
});

test('headers of hosts.toml go to that host, and to nobody it redirects to', async (t) => {
  const { layout } = await setUp(t);
  const seen: unknown[] = [];
  const storage = await startFakeRegistry(t, layout, ({ headers }) => {
    seen.push(headers['x-key']);
    return false;
  });
  const { store, reference, id } = await withMirror(t, {
    toml: (host) => `[host."http://${host}"]\n[host."http://${host}".header]\nx-key = ["a", "b"]\n`,
    misbehave: ({ path, headers }, response) => {
      if (headers['x-key'] !== 'a, b') return answer(response, 403);
      const target = `http://${storage.host}${path}`;
      return path.includes('/blobs/') && answer(response, 307, '', { Location: target });
    },
  });
  assert.equal((await store.pull(reference)).id, id);
  assert.deepEqual(seen, [undefined, undefined, undefined]);
});

for (const [name, misbehave] of [
  ['has the wrong bytes', ({ path }, response, blob) => isLayer(path, blob) && answer(response, 200, 'x')],
  [
    'dies in the middle of a layer',
    ({ path }, response, blob) => isLayer(path, blob) && cut(response, blob!, 100),
  ],
  ['is rate limited', (_request, response) => answer(response, 429, '', { 'Retry-After': '0' })],
  [
    'has an old manifest that is none',
    ({ path }, response) => path.includes('/manifests/') && answer(response, 404),
  ],
] satisfies [string, Misbehaviour][]) {
  test(`a mirror that ${name} is passed over`, async (t) => {
    const { store, reference, id } = await withMirror(t, {
      toml: (host) => `[host."http://${host}"]`,
      misbehave,
    });
    assert.equal((await store.pull(reference)).id, id);
  });
}

test('when all fail, the error has what the registry and each mirror said', async (t) => {
  const { registry, layout } = await setUp(t, {
    misbehave: (_request, response) => answer(response, 404, 'not here'),
  });
  const mirror = await startFakeRegistry(t, layout, (_request, response) => answer(response, 403, 'not you'));
  const store = await openStore(t, {
    retries,
    registries: {
      mirrors: { 'images.example': [{ url: `http://${mirror.host}` }, { url: `http://${registry.host}` }] },
      certsDir: scratch(t),
      plainHttp: ['images.example'],
    },
  });
  await assert.rejects(store.pull('images.example/t:1'), (error: Error) => {
    assert.match(error.message, /get tag 1 of t from images\.example: .*images\.example/);
    assert.match(
      error.message,
      new RegExp(`mirrors: get tag 1 of t from ${mirror.host}: 403 Forbidden: not you; `),
    );
    assert.match(error.message, new RegExp(`get tag 1 of t from ${registry.host}: not found .* not here\\)`));
    return true;
  });
});

test('a mirror that accepts no connection is left after dial_timeout', async (t) => {
  // It takes the connection and never shakes hands.
  const silent = await startRawServer(t, () => {});
  const { store, reference, id, write } = await withMirror(t, {
    toml: () => `[host."https://${silent}"]\ndial_timeout = "150ms"\n`,
  });
  assert.equal((await store.pull(reference)).id, id);
  await store.remove(id);
  write(`capabilities = ["push"]\n[host."https://${silent}"]\ndial_timeout = "150ms"\n`);
  await assert.rejects(store.pull(reference), {
    code: 'registry-unavailable',
    message: `get tag 1 of t from ${silent}: no connection to ${silent} within 0.15 s`,
  });
});

test('a mistake in hosts.toml fails the pull with file, key and value; corrected, the next one works', async (t) => {
  const { store, reference, id, write } = await withMirror(t, { toml: () => 'skip_verfy = true' });
  await assert.rejects(store.pull(reference), {
    code: 'invalid-registry-config',
    message:
      /^read .*\/images\.example\/hosts\.toml: skip_verfy = true: no such key: known are server, host, /,
  });
  write('');
  assert.equal((await store.pull(reference)).id, id);
});

test('a mirror that cannot be reached is tried once for a pull, and not for each of its blobs', async (t) => {
  const { store, reference, mirror, id } = await withMirror(t, {
    toml: (host) => `[host."http://${host}"]`,
    misbehave: (_request, response) => answer(response, 503),
  });
  assert.equal((await store.pull(reference)).id, id);
  assert.equal(mirror.requests.length, 2, 'two tries for the tag');
});
