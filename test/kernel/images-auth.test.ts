import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { buildImageLayout } from '@amphipod/images/testing';
import { answer, challenge, startFakeRegistry } from './images-fake-registry.ts';
import { assertEmpty, randomLayers, retries, setUp } from './images-faults-setup.ts';
import { openStore, scratch } from './images-support.ts';

test("REG-02: a redirect to another host carries no credentials, and that host's own challenge is answered", async (t) => {
  const layout = `${scratch(t)}/layout`;
  const { id } = buildImageLayout(layout, { layers: randomLayers(3, 1000), name: 't' });
  const leaks: string[] = [];
  const storage = await startFakeRegistry(t, layout, ({ path, headers }, response) => {
    if (path.startsWith('/token')) return answer(response, 200, '{"token":"storage-token"}');
    if (headers.authorization === 'Bearer storage-token') return false;
    if (headers.authorization !== undefined) leaks.push(headers.authorization);
    return challenge(response, storage.host);
  });
  const front = await startFakeRegistry(t, layout, ({ path, headers }, response) => {
    if (headers.authorization !== `Basic ${Buffer.from('u:p').toString('base64')}`) {
      return answer(response, 401, '', { 'WWW-Authenticate': 'Basic realm="front"' });
    }
    return (
      path.includes('/blobs/') && answer(response, 307, '', { Location: `http://${storage.host}${path}` })
    );
  });
  const store = await openStore(t, { retries });
  assert.equal((await store.pull(`${front.host}/t`, { auth: { username: 'u', password: 'p' } })).id, id);
  assert.deepEqual(leaks, []);
  assert.ok(storage.requests.some((request) => request.startsWith('GET /token')));
});

test('REG-03: tokens that run out in the middle of a pull are renewed', async (t) => {
  const layout = `${scratch(t)}/layout`;
  const { id } = buildImageLayout(layout, { layers: randomLayers(12, 500), name: 't' });
  const left = new Map<string, number>();
  const registry = await startFakeRegistry(t, layout, ({ path, headers }, response) => {
    if (path.startsWith('/token')) {
      const token = `T${left.size}`;
      left.set(token, 3);
      return answer(response, 200, JSON.stringify({ access_token: token, expires_in: 60 }));
    }
    const token = headers.authorization?.replace('Bearer ', '') ?? '';
    const uses = left.get(token) ?? 0;
    if (uses === 0) return challenge(response, registry.host);
    left.set(token, uses - 1);
    return false;
  });
  const store = await openStore(t, { retries });
  assert.equal((await store.pull(`${registry.host}/t`)).id, id);
  assert.ok(left.size >= 5 && left.size <= 14, `${left.size} tokens for 14 requests of three uses each`);
});

test('a wrong password is tried twice at most, and the error names the host', async (t) => {
  for (const scheme of ['Bearer', 'Basic']) {
    const { store, reference, registry } = await setUp(t, {
      misbehave: ({ path }, response) => {
        if (path.startsWith('/token'))
          return answer(
            response,
            401,
            '{"errors":[{"code":"UNAUTHORIZED","message":"incorrect username or password"}]}',
          );
        if (scheme === 'Bearer') return challenge(response, registry.host);
        return answer(response, 401, '', { 'WWW-Authenticate': 'Basic realm="r"' });
      },
    });
    await assert.rejects(store.pull(reference, { auth: { username: 'u', password: 'wrong' } }), {
      code: 'unauthorized',
      message: new RegExp(`${registry.host}.*401`),
    });
    assert.ok(registry.requests.length <= 3, registry.requests.join());
  }
});

test('identity tokens are exchanged, registry tokens sent as they are, credentials for another server kept back', async (t) => {
  const seen: string[] = [];
  const { store, reference, registry, id } = await setUp(t, {
    misbehave: ({ path, headers, body }, response) => {
      if (path.startsWith('/token')) {
        seen.push(body, String(headers.authorization));
        return answer(response, 200, '{"access_token":"good"}');
      }
      if (headers.authorization === 'Bearer good') return false;
      if (headers.authorization !== undefined) seen.push(headers.authorization);
      return challenge(response, registry.host);
    },
  });
  assert.equal((await store.pull(reference, { auth: { identityToken: 'idt' } })).id, id);
  assert.match(seen[0]!, /grant_type=refresh_token&refresh_token=idt/);
  await store.remove(id);
  seen.length = 0;
  await store.pull(reference, { auth: { registryToken: 'good' } });
  assert.deepEqual(seen, []);
  await store.remove(id);
  await store.pull(reference, {
    auth: { username: 'u', password: 'p', serverAddress: 'https://other.example' },
  });
  assert.deepEqual(seen, ['', 'undefined'], 'asked for a token as nobody');
  await store.remove(id);
  seen.length = 0;
  await store.pull(reference, {
    auth: { auth: Buffer.from('u:p').toString('base64'), serverAddress: registry.host },
  });
  assert.deepEqual(seen, ['', `Basic ${Buffer.from('u:p').toString('base64')}`]);
});

const basic = (text: string) => `Basic ${Buffer.from(text).toString('base64')}`;

test('REG-03: layers that need a token at the same moment get one together', async (t) => {
  let current = '';
  let tokens = 0;
  const { store, reference, registry, id } = await setUp(t, {
    layers: randomLayers(8, 500),
    misbehave: ({ path, headers }, response) => {
      if (path.startsWith('/token')) {
        current = `T${++tokens}`;
        setTimeout(() => answer(response, 200, JSON.stringify({ token: current })), 30);
        return true;
      }
      // The first token is good for the manifest and the config.
      const isStale = path.includes('/blobs/') && tokens === 1 && registry.requests.length > 6;
      return (isStale || headers.authorization !== `Bearer ${current}`) && challenge(response, registry.host);
    },
  });
  assert.equal((await store.pull(reference)).id, id);
  assert.equal(tokens, 2);
});

test('scopes of a challenge are asked for one by one, its service and account too', async (t) => {
  const { store, reference, registry, id } = await setUp(t, {
    misbehave: ({ path, headers }, response) => {
      if (path.startsWith('/token')) return answer(response, 200, '{"token":"good"}');
      if (headers.authorization === 'Bearer good') return false;
      const scope = 'repository:t:pull repository:base:pull';
      const value = `Bearer realm="http://${registry.host}/token?a=b",service="s 1",scope="${scope}"`;
      return answer(response, 401, '', { 'WWW-Authenticate': value });
    },
  });
  assert.equal((await store.pull(reference, { auth: { username: 'u', password: 'p' } })).id, id);
  assert.equal(
    registry.requests.find((request) => request.includes('/token')),
    'GET /token?a=b&service=s+1&scope=repository%3At%3Apull&scope=repository%3Abase%3Apull&account=u',
  );
});

test('a pull that waits for a token server can be cancelled', async (t) => {
  const { store, reference, registry } = await setUp(t, {
    misbehave: ({ path }, response) => path.startsWith('/token') || challenge(response, registry.host),
    options: { progressTimeoutMs: 60_000 },
  });
  const controller = new AbortController();
  const pull = store.pull(reference, { signal: controller.signal });
  while (!registry.requests.some((request) => request.includes('/token')))
    await new Promise((resolve) => setTimeout(resolve, 5));
  controller.abort(new Error('enough'));
  await assert.rejects(pull, /enough/);
  assertEmpty(store);
});

test('what a token server says instead of a token is in the error, with its host and the registry', async (t) => {
  const faults: [status: number, body: string, code: string, cause: RegExp][] = [
    [403, 'denied by policy', 'unauthorized', /: 403: denied by policy/],
    [500, 'no database', 'registry-unavailable', /: 500: no database/],
    [200, '<html>', 'registry-error', /: the answer has no token/],
    [200, '{"token":"a\\nb"}', 'registry-error', /: the answer has no token/],
    [200, 'null', 'registry-error', /: the answer has no token/],
  ];
  for (const [status, body, code, cause] of faults) {
    const { store, reference, registry } = await setUp(t, {
      misbehave: ({ path }, response) =>
        path.startsWith('/token') ? answer(response, status, body) : challenge(response, registry.host),
    });
    await assert.rejects(store.pull(reference), (error: Error & { code: string }) => {
      assert.equal(error.code, code);
      assert.match(error.message, new RegExp(`get token from ${registry.host} for ${registry.host}/t`));
      assert.match(error.message, cause);
      return true;
    });
    assertEmpty(store);
  }
});

test('a realm that is no web address is refused', async (t) => {
  const { store, reference } = await setUp(t, {
    misbehave: (_request, response) =>
      answer(response, 401, '', { 'WWW-Authenticate': 'Bearer realm="file:///etc/passwd"' }),
  });
  await assert.rejects(store.pull(reference), {
    code: 'registry-error',
    message: /bad realm "file:\/\/\/etc/,
  });
});

test('credentials from an auth file and from a helper, read anew for each pull', async (t) => {
  const dir = scratch(t);
  const authFile = `${dir}/auth.json`;
  const { store, reference, registry, id } = await setUp(t, {
    misbehave: ({ headers }, response) =>
      headers.authorization !== basic('u:good') &&
      answer(response, 401, '', { 'WWW-Authenticate': 'Basic realm="r"' }),
    options: { registries: { authFile } },
  });
  const auths = (password: string, key = registry.host) =>
    writeFileSync(authFile, JSON.stringify({ auths: { [key]: { auth: basic(`u:${password}`).slice(6) } } }));
  await assert.rejects(store.pull(reference), {
    code: 'invalid-registry-config',
    message: new RegExp(`read ${authFile}: ENOENT`),
  });
  auths('bad');
  await assert.rejects(store.pull(reference), { code: 'unauthorized', message: /401 Unauthorized$/ });
  auths('good', `${registry.host}/other`);
  await assert.rejects(store.pull(reference), {
    code: 'unauthorized',
    message: /401 Unauthorized; no credentials for it/,
  });
  auths('good', `${registry.host}/t`);
  assert.equal((await store.pull(reference)).id, id);
  await store.remove(id);
  const path = process.env.PATH;
  process.env.PATH = `${dir}:${path}`;
  t.after(() => {
    process.env.PATH = path;
  });
  writeFileSync(`${dir}/docker-credential-test`, '#!/bin/sh\necho \'{"Username":"u","Secret":"good"}\'\n');
  chmodSync(`${dir}/docker-credential-test`, 0o755);
  writeFileSync(authFile, JSON.stringify({ credHelpers: { [registry.host]: 'test' } }));
  assert.equal((await store.pull(reference)).id, id);
});

test('a token server that redirects is followed, without the password to another host', async (t) => {
  const { layout } = await setUp(t);
  const seen: unknown[] = [];
  const other = await startFakeRegistry(t, layout, ({ path, headers }, response) => {
    seen.push(`${path} ${headers.authorization}`);
    return answer(response, 200, '{"token":"good"}');
  });
  const { store, reference, registry, id } = await setUp(t, {
    misbehave: ({ path, headers }, response) => {
      if (path.startsWith('/token?')) return answer(response, 302, '', { Location: '/token2' });
      if (path === '/token2') {
        seen.push(`${path} ${headers.authorization}`);
        return answer(response, 307, '', { Location: `http://${other.host}/token3` });
      }
      return headers.authorization !== 'Bearer good' && challenge(response, registry.host);
    },
  });
  assert.equal((await store.pull(reference, { auth: { username: 'u', password: 'p' } })).id, id);
  assert.deepEqual(seen, [`/token2 ${basic('u:p')}`, '/token3 undefined']);
});
