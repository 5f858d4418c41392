import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pinMatcher } from './pins.ts';

const digest = `sha256:${'a'.repeat(64)}`;

test('IMG-21: images are pinned by name, prefix or word', () => {
  const cases: [string, string, boolean][] = [
    ['registry.k8s.io/pause:3.10', 'registry.k8s.io/pause:3.10', true],
    ['registry.k8s.io/pause:3.10', 'registry.k8s.io/pause:3.1', false],
    ['busybox', 'docker.io/library/busybox:latest', true],
    [`x/y@${digest}`, `docker.io/x/y@${digest}`, true],
    [digest, digest, true],
    ['registry.k8s.io/*', 'registry.k8s.io/pause:3.10', true],
    ['registry.k8s.io/*', 'x.registry.k8s.io/pause:3.10', false],
    ['*pause*', 'registry.k8s.io/pause:3.10', true],
    ['*pause*', 'registry.k8s.io/pose:3.10', false],
    ['*', 'anything', true],
    ['', 'anything', false],
  ];
  for (const [pattern, name, pinned] of cases)
    assert.equal(pinMatcher([pattern])([name]), pinned, `${pattern} ${name}`);
  assert.equal(pinMatcher([])(['x']), false);
});
