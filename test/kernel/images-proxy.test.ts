import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer, request as httpRequest } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { type TestContext, test } from 'node:test';
import { makeCertificate } from './images-certificates.ts';
import { startFakeRegistry } from './images-fake-registry.ts';
import { setUp } from './images-faults-setup.ts';
import { openStore, scratch } from './images-support.ts';

const retries = { attempts: 2, baseDelayMs: 5, maxDelayMs: 20 };

/** A forward proxy that takes every name for one server. @returns its address, and the request lines that it saw */
async function startProxy(t: TestContext, target: () => string, status?: number) {
  const seen: string[] = [];
  const [host, port] = [() => target().split(':')[0]!, () => Number(target().split(':')[1])];
  const proxy = createServer((message, response) => {
    seen.push(`${message.method} ${message.url} ${message.headers['proxy-authorization'] ?? ''}`.trim());
    const path = new URL(message.url!).pathname;
    httpRequest({ host: host(), port: port(), path, headers: message.headers }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(response);
    }).end();
  });
  proxy.on('connect', (message, socket) => {
    seen.push(`CONNECT ${message.url} ${message.headers['proxy-authorization'] ?? ''}`.trim());
    socket.on('error', () => {});
    if (status !== undefined) return socket.end(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`);
    const upstream = connect(port(), host(), () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      upstream.pipe(socket);
      socket.pipe(upstream);
    });
    upstream.on('error', () => socket.destroy());
    socket.on('close', () => upstream.destroy());
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    proxy.closeAllConnections();
    proxy.close();
  });
  return { address: `127.0.0.1:${(proxy.address() as AddressInfo).port}`, seen };
}

/** A registry `registry.example` that only a proxy can find. */
async function hiddenRegistry(t: TestContext) {
  const { certificate, pem } = makeCertificate(scratch(t), 'DNS:registry.example');
  const { layout, id } = await setUp(t);
  const secure = await startFakeRegistry(t, layout, undefined, { tls: pem });
  const plain = await startFakeRegistry(t, layout);
  const certsDir = scratch(t);
  mkdirSync(`${certsDir}/registry.example`);
  writeFileSync(`${certsDir}/registry.example/hosts.toml`, `ca = "${certificate}"\n`);
  return { id, secure, plain, certsDir, reference: 'registry.example/t:1' };
}

test('HTTPS goes through CONNECT, with the password of the proxy and the certificates of the registry', async (t) => {
  const { id, secure, certsDir, reference } = await hiddenRegistry(t);
  const proxy = await startProxy(t, () => secure.host);
  const env = { HTTPS_PROXY: `http://u:p@${proxy.address}` };
  const store = await openStore(t, { retries, registries: { certsDir, env } });
  assert.equal((await store.pull(reference)).id, id);
  assert.equal(proxy.seen[0], `CONNECT registry.example:443 Basic ${Buffer.from('u:p').toString('base64')}`);
  const untrusting = await openStore(t, { retries, registries: { env } });
  await assert.rejects(untrusting.pull(reference), {
    code: 'registry-unavailable',
    message: new RegExp(`self-signed certificate.*through proxy ${proxy.address}`),
  });
});

test('plain HTTP is asked for with the whole address', async (t) => {
  const { id, plain, reference } = await hiddenRegistry(t);
  const proxy = await startProxy(t, () => plain.host);
  const env = { http_proxy: proxy.address };
  const store = await openStore(t, { retries, registries: { plainHttp: ['registry.example'], env } });
  assert.equal((await store.pull(reference)).id, id);
  assert.ok(proxy.seen.length > 0);
  for (const line of proxy.seen) assert.match(line, /^GET http:\/\/registry\.example\/v2\/t\//);
});

test('NO_PROXY and loopback go past the proxy', async (t) => {
  const { id, plain, certsDir, reference } = await hiddenRegistry(t);
  const proxy = await startProxy(t, () => plain.host);
  const env = { HTTP_PROXY: proxy.address, HTTPS_PROXY: proxy.address, NO_PROXY: '.nothing, example' };
  const store = await openStore(t, { retries, registries: { certsDir, env } });
  await assert.rejects(store.pull(reference), {
    code: 'registry-unavailable',
    message: /get tag 1 of t from registry\.example: getaddrinfo/,
  });
  assert.equal((await store.pull(`${plain.host}/t:1`)).id, id);
  assert.deepEqual(proxy.seen, []);
});

test('a proxy that refuses, is not there, or is none: the error names it, and never its password', async (t) => {
  const { secure, certsDir, reference } = await hiddenRegistry(t);
  const refusing = await startProxy(t, () => secure.host, 407);
  const pull = async (proxy: string) => {
    const store = await openStore(t, { retries, registries: { certsDir, env: { HTTPS_PROXY: proxy } } });
    return store.pull(reference);
  };
  for (const [proxy, code, message] of [
    [
      `http://u:secret@${refusing.address}`,
      'registry-unavailable',
      new RegExp(`${refusing.address}.*407 No`),
    ],
    ['http://u:secret@127.0.0.1:1', 'registry-unavailable', /ECONNREFUSED 127\.0\.0\.1:1/],
    ['socks5://u:secret@127.0.0.1:1', 'invalid-registry-config', /read HTTPS_PROXY: "socks5:/],
  ] as const) {
    await assert.rejects(pull(proxy), (error: Error & { code: string }) => {
      assert.equal(error.code, code);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /secret/);
      return true;
    });
  }
  assert.equal(refusing.seen.length, retries.attempts);
});
