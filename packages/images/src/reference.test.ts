import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isCode } from '@amphipod/linux';
import fc from 'fast-check';
import { formatReference, isLoopbackHost, parseReference } from './reference.ts';

const hex = 'a'.repeat(64);

const valid: [text: string, canonical: string][] = [
  ['busybox', 'docker.io/library/busybox:latest'],
  ['busybox:1.36', 'docker.io/library/busybox:1.36'],
  ['user/app', 'docker.io/user/app:latest'],
  ['docker.io/busybox', 'docker.io/library/busybox:latest'],
  ['index.docker.io/library/busybox', 'docker.io/library/busybox:latest'],
  ['localhost/web', 'localhost/web:latest'],
  ['localhost:5000/web:v1', 'localhost:5000/web:v1'],
  ['127.0.0.1:5000/a/b/c:x', '127.0.0.1:5000/a/b/c:x'],
  ['[::1]:5000/a', '[::1]:5000/a:latest'],
  ['quay.io/a/b', 'quay.io/a/b:latest'],
  [`busybox@sha256:${hex}`, `docker.io/library/busybox@sha256:${hex}`],
  [`q.io:1/a:t@sha256:${hex}`, `q.io:1/a:t@sha256:${hex}`],
  ['a/b_c__d.e--f:T_1.2-3', 'docker.io/a/b_c__d.e--f:T_1.2-3'],
  ['UPPER.example/a', 'UPPER.example/a:latest'],
];

const invalid = [
  '',
  'Busybox',
  'a//b',
  'a:',
  'a:/b',
  ':tag',
  'a@sha256:123',
  `a@sha256:${hex.toUpperCase()}`,
  `a@sha256:${hex}@sha256:${hex}`,
  `a:${'x'.repeat(129)}`,
  'a b',
  'a/../b',
  '-a/b.c/../d',
  'oci-archive:/tmp/x.tar',
  'http://host/a',
  `host.io/${'a/'.repeat(140)}a`,
  'a\n',
  'host:123456/a',
];

test('references are completed to their canonical form', () => {
  for (const [text, canonical] of valid) assert.equal(formatReference(parseReference(text)), canonical, text);
});

test('what is no reference is refused', () => {
  for (const text of invalid) {
    assert.throws(
      () => parseReference(text),
      (error) => isCode(error, 'invalid-reference'),
      JSON.stringify(text),
    );
  }
});

test('a canonical reference parses to itself, and no text crashes the parser', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[a-z.:/@]{0,20}$/)), (text) => {
      let canonical: string;
      try {
        canonical = formatReference(parseReference(text));
      } catch (error) {
        assert.ok(isCode(error, 'invalid-reference'));
        return;
      }
      assert.equal(formatReference(parseReference(canonical)), canonical);
    }),
  );
});

test('loopback hosts are known with and without a port', () => {
  for (const host of ['localhost', 'localhost:5000', '127.0.0.1', '127.1.2.3:80', '[::1]:5000']) {
    assert.ok(isLoopbackHost(host), host);
  }
  for (const host of ['localhost.example', '127.0.0.1.example', '10.0.0.1:5000', 'example']) {
    assert.ok(!isLoopbackHost(host), host);
  }
});
