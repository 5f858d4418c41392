import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, statfsSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { mount, unmount } from '@amphipod/linux';
import { useServer } from './support/fixture.ts';
import { execText, exited, removePod, runPod, startContainer } from './support/pods.ts';
import { grpcCode, refuses } from './support/refuses.ts';

describe('a full disk (LIF-11)', () => {
  let root = '';
  const fixture = useServer('amphipod', (dir) => {
    root = `${dir}/root`;
    mkdirSync(root);
    mount(root, { source: 'root', type: 'tmpfs', data: 'size=24m' });
    return {};
  });
  after(() => unmount(root));
  /** Takes all room there is, and what becomes free. */
  const fill = (id: string) =>
    execText(fixture.cri, id, ['sh', '-c', 'cat /dev/zero >> /fill 2>/dev/null; true']);
  const freeBlocks = () => statfsSync(root).bavail;

  test('what runs can be stopped and removed, and that makes room', async () => {
    const pod = await runPod(fixture.cri);
    const containerId = await startContainer(fixture.cri, pod, { image: fixture.image });
    const other = await startContainer(fixture.cri, pod, {
      image: fixture.image,
      metadata: { name: 'other' },
    });
    await fill(containerId);
    assert.equal(freeBlocks(), 0);
    await fixture.cri.stopContainer({ containerId: other, timeout: 1 });
    const ended = await exited(fixture.cri, other);
    assert.equal(ended.exitCode, 0);
    // The reserve of the database was given up for that: it is taken too.
    for (let i = 0; i < 3; i++) await fill(containerId);
    assert.equal(freeBlocks(), 0);
    const call = runPod(fixture.cri, { metadata: { name: 'one-more' } });
    await refuses(call, grpcCode.RESOURCE_EXHAUSTED, /the disk is full/);
    const { imageFilesystems } = await fixture.cri.imageFsInfo({});
    assert.ok(imageFilesystems[0]!.usedBytes!.value > 0n);
    await fixture.cri.stopContainer({ containerId, timeout: 0 });
    assert.equal((await exited(fixture.cri, containerId)).exitCode, 137);
    await fixture.cri.removeContainer({ containerId });
    assert.ok(freeBlocks() > 0);
    await removePod(fixture.cri, pod);
    const again = await runPod(fixture.cri);
    await removePod(fixture.cri, again);
  });

  test('the daemon starts, finds what runs, and removes it', async () => {
    const pod = await runPod(fixture.cri);
    const containerId = await startContainer(fixture.cri, pod, { image: fixture.image });
    await fill(containerId);
    await fixture.server.kill();
    await fixture.server.start();
    for (let i = 0; i < 3; i++) await fill(containerId);
    assert.equal(freeBlocks(), 0);
    assert.equal(await execText(fixture.cri, containerId, ['echo', 'lives']), 'lives\n');
    await fixture.server.kill();
    await fixture.server.start();
    await removePod(fixture.cri, pod);
    assert.ok(freeBlocks() > 0);
    assert.deepEqual((await fixture.cri.listContainers()).containers, []);
    assert.doesNotMatch(readFileSync(`${fixture.server.dir}/amphipod.log`, 'utf8'), /"internal"/);
  });
});
