import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import { test } from 'node:test';
import { answer, startRawServer } from './images-fake-registry.ts';
import { assertEmpty, isLayer, retries, setUp } from './images-faults-setup.ts';
import { openStore } from './images-support.ts';

test('REG-06: 429 and 503 are waited out as the server asks; what stays away is an error with its words', async (t) => {
  const times: number[] = [];
  const first = await setUp(t, {
    misbehave: ({ path, earlier }, response) => {
      if (!path.includes('/manifests/')) return false;
      times.push(performance.now());
      return earlier === 0
        ? answer(response, 429, '', { 'Retry-After': '1' })
        : earlier === 1 && answer(response, 503);
    },
  });
  assert.equal((await first.store.pull(first.reference)).id, first.id);
  assert.ok(times[1]! - times[0]! >= 990, `waited ${times[1]! - times[0]!} ms`);
  const always = await setUp(t, {
    misbehave: (_request, response) =>
      answer(response, 429, '{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}', {
        'Retry-After': '3600',
      }),
  });
  await assert.rejects(always.store.pull(always.reference), {
    code: 'registry-unavailable',
    message: /get tag latest of t from 127.*429.*TOOMANYREQUESTS: slow down/,
  });
  assert.equal(always.registry.requests.length, retries.attempts);
});

test('answers that are no HTTP, no JSON or endless end in an error that names the host', async (t) => {
  const store = await openStore(t, { retries });
  for (const [text, cause] of [
    ['SSH-2.0-nothing\r\n', 'Parse Error'],
    ['HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n', 'Parse Error'],
    ['HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n', 'Parse Error'],
    [`HTTP/1.1 200 OK\r\n${'x: y\r\n'.repeat(20_000)}\r\n`, 'Header overflow'],
    ['', 'socket hang up'],
    ['HTTP/1.1 200 OK\r\nContent-Le', 'socket hang up'],
    ['HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{', 'aborted'],
  ] as const) {
    const host = await startRawServer(t, (socket) => socket.end(text));
    await assert.rejects(store.pull(`${host}/t`), {
      code: 'registry-unavailable',
      message: new RegExp(`^get tag latest of t from ${host}: .*${cause}`),
    });
  }
  const html = await setUp(t, {
    misbehave: (_request, response) => answer(response, 200, '<html>', { 'Content-Type': 'text/html' }),
  });
  await assert.rejects(html.store.pull(html.reference), { code: 'invalid-manifest' });
  const endless = await setUp(t, {
    misbehave: (_request, response) => {
      const timer = setInterval(() => response.write(Buffer.alloc(1_000_000)), 1);
      response.on('close', () => clearInterval(timer));
      return true;
    },
  });
  await assert.rejects(endless.store.pull(endless.reference), {
    code: 'registry-error',
    message: /more than/,
  });
  const loop = await setUp(t, {
    misbehave: ({ path }, response) => answer(response, 302, '', { Location: path }),
  });
  await assert.rejects(loop.store.pull(loop.reference), { code: 'registry-error', message: /redirects/ });
});

const statuses: [status: number, code: string][] = [
  [400, 'registry-error'],
  [401, 'unauthorized'],
  [403, 'unauthorized'],
  [404, 'not-found'],
  [405, 'registry-error'],
  [408, 'registry-unavailable'],
  [410, 'registry-error'],
  [429, 'registry-unavailable'],
  [451, 'registry-error'],
  [500, 'registry-unavailable'],
  [501, 'registry-error'],
  [502, 'registry-unavailable'],
  [503, 'registry-unavailable'],
  [504, 'registry-unavailable'],
];

interface Fault {
  name: string;
  code: string;
  cause: RegExp;
  fail(response: ServerResponse): unknown;
}

const faults: Fault[] = [
  ...statuses.map(([status, code]) => ({
    name: `answers ${status}`,
    code,
    cause: new RegExp(`${status} [A-Z].*: DENIED: the registry's own words`),
    fail: (response: ServerResponse) =>
      answer(response, status, '{"errors":[{"code":"DENIED","message":"the registry\'s own words"}]}'),
  })),
  {
    name: 'resets the connection',
    code: 'registry-unavailable',
    cause: /socket hang up|ECONNRESET/,
    fail: (response) => response.socket?.resetAndDestroy(),
  },
  {
    name: 'redirects to nowhere',
    code: 'registry-unavailable',
    cause: /ECONNREFUSED.*\(redirected to 127\.0\.0\.1:1\)/,
    fail: (response) => answer(response, 307, '', { Location: 'http://127.0.0.1:1/x' }),
  },
  {
    name: 'redirects to what is no web address',
    code: 'registry-error',
    cause: /redirect to "file:\/\/\/etc\/passwd"/,
    fail: (response) => answer(response, 307, '', { Location: 'file:///etc/passwd' }),
  },
];

for (const { name, code, cause, fail } of faults) {
  test(`a registry that ${name}, at the tag, the config or a layer: the error names host, step and cause`, async (t) => {
    for (const step of ['tag', 'config', 'layer'] as const) {
      const { store, reference, registry } = await setUp(t, {
        options: { retries: { attempts: 2, baseDelayMs: 1, maxDelayMs: 5 } },
        misbehave: ({ path }, response, blob) => {
          const at = path.includes('/manifests/') ? 'tag' : isLayer(path, blob) ? 'layer' : 'config';
          if (at !== step) return false;
          fail(response);
          return true;
        },
      });
      await assert.rejects(store.pull(reference), (error: Error & { code: string }) => {
        assert.equal(error.code, code, error.message);
        const what = step === 'tag' ? 'get tag latest of t' : 'get blob sha256:[0-9a-f]{64}';
        assert.match(error.message, new RegExp(`^${what} from ${registry.host}: `));
        assert.match(error.message, cause);
        return true;
      });
      assertEmpty(store);
    }
  });
}

test('an answer of the host that a registry redirects to is told from its own', async (t) => {
  const storage = await setUp(t, {
    misbehave: (_request, response) => answer(response, 403, '<Error>Request has expired</Error>'),
  });
  const { store, reference, registry } = await setUp(t, {
    misbehave: ({ path }, response, blob) =>
      isLayer(path, blob) &&
      answer(response, 307, '', { Location: `http://${storage.registry.host}${path}` }),
  });
  const where = `403 Forbidden from ${storage.registry.host}, where it redirects to: <Error>Request has expired`;
  await assert.rejects(store.pull(reference), {
    code: 'unauthorized',
    message: new RegExp(`get blob sha256:[0-9a-f]+ from ${registry.host}: ${where}`),
  });
});

test('REG-06: a server that says "Retry-After: 0" is not asked in a tight loop', async (t) => {
  const times: number[] = [];
  const { store, reference } = await setUp(t, {
    options: { retries: { attempts: 3, baseDelayMs: 200, maxDelayMs: 1_000 } },
    misbehave: (_request, response) => {
      times.push(performance.now());
      return answer(response, 503, '', { 'Retry-After': '0' });
    },
  });
  await assert.rejects(store.pull(reference), { code: 'registry-unavailable' });
  assert.equal(times.length, 3);
  // The delays are 200 and 400 ms, a quarter off at most.
  assert.ok(times[1]! - times[0]! >= 145 && times[2]! - times[1]! >= 295, times.join());
});

test('what a registry says does not reach the terminal as commands', async (t) => {
  const { store, reference } = await setUp(t, {
    misbehave: (_request, response) => answer(response, 404, '\u001b[2Jgone\r\nfor \u009b31mgood\u202e'),
  });
  await assert.rejects(store.pull(reference), { message: /: 404 Not Found: {2}\[2Jgone for {2}31mgood $/ });
});
