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
