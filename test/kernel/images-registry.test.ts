import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { build, freePort, push, startRegistry } from './images-docker-registry.ts';
import { mountImage, openStore } from './images-support.ts';

test('pull by tag and by digest, as OCI and as Docker manifest; what runs is what was built', async (t) => {
  const host = await startRegistry(t);
  const { layout, id, manifestDigest } = build(t);
  await push(layout, `${host}/some/app:v1`);
  await push(layout, `${host}/some/app:docker`, ['--format', 'v2s2']);
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
  for (const { layout } of [arm, amd])
    await push(layout, `${host}/multi:${layout === arm.layout ? 'arm' : 'amd'}`);
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
