import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { startAmphipod } from './support/amphipod.ts';
import { useServer } from './support/fixture.ts';
import {
  containerInfo,
  createContainer,
  execText,
  removePod,
  runPod,
  startContainer,
} from './support/pods.ts';
import { run } from './support/program.ts';
import { grpcCode, refuses } from './support/refuses.ts';

const hasCriu = ['/usr/local/sbin', '/usr/sbin', '/usr/bin'].some((dir) => existsSync(`${dir}/criu`));

describe('checkpoints with amphipod', () => {
  const fixture = useServer('amphipod');

  test('without criu: UNIMPLEMENTED, and the text says what is missing', {
    skip: hasCriu && 'criu is installed',
  }, async () => {
    const pod = await runPod(fixture.cri);
    const containerId = await startContainer(fixture.cri, pod, { image: fixture.image });
    const location = `${fixture.dir}/checkpoint.tar`;
    const call = fixture.cri.checkpointContainer({ containerId, location });
    await refuses(call, grpcCode.UNIMPLEMENTED, /criu is not installed on this node/);
    assert.ok(!existsSync(location));
    await removePod(fixture.cri, pod);
  });

  test('with a criu that fails: its text, nothing written, and the container goes on', async () => {
    const bin = `${fixture.dir}/bin`;
    mkdirSync(bin);
    writeFileSync(`${bin}/criu`, '#!/bin/sh\necho broken criu >&2\nexit 1\n', { mode: 0o755 });
    mkdirSync(`${fixture.dir}/broken`);
    await using server = await startAmphipod({
      dir: `${fixture.dir}/broken`,
      env: { PATH: `${bin}:${process.env.PATH}` },
    });
    await server.loadImage(fixture.image.dir, fixture.image.name);
    const pod = await runPod(server.cri);
    const containerId = await startContainer(server.cri, pod, { image: fixture.image });
    const location = `${fixture.dir}/broken.tar`;
    const call = server.cri.checkpointContainer({ containerId, location });
    await refuses(call, grpcCode.FAILED_PRECONDITION, /checkpoint with runc: .*criu/);
    for (const path of [location, `${location}.partial`]) assert.ok(!existsSync(path), path);
    const { data } = (await containerInfo(server.cri, containerId)).paths;
    assert.deepEqual(readdirSync(data).toSorted(), ['upper', 'work']);
    assert.equal(await execText(server.cri, containerId, ['echo', 'lives']), 'lives\n');
    await removePod(server.cri, pod);
  });

  test('with criu: an archive, and the container goes on', {
    skip: !hasCriu && 'criu is not installed on this machine',
    timeout: 120_000,
  }, async () => {
    const pod = await runPod(fixture.cri);
    // A shell that waits for a child may take the freezing for the child's end.
    const command = ['sh', '-c', 'trap "exit 0" TERM; while :; do sleep 1; done'];
    const containerId = await startContainer(fixture.cri, pod, { image: fixture.image, command });
    await execText(fixture.cri, containerId, ['sh', '-c', 'echo kept > /note']);
    const location = `${fixture.dir}/checkpoints/one.tar`;
    await fixture.cri.checkpointContainer({ containerId, location });
    assert.equal(statSync(location).mode & 0o777, 0o600);
    const names = (await run(['tar', '-tf', location])).split('\n');
    for (const name of ['./spec.dump', './config.dump', './rootfs-diff.tar', './checkpoint/inventory.img'])
      assert.ok(names.includes(name), name);
    mkdirSync(`${fixture.dir}/extracted`);
    await run(['tar', '-C', `${fixture.dir}/extracted`, '-xf', location]);
    assert.match(await run(['tar', '-tf', `${fixture.dir}/extracted/rootfs-diff.tar`]), /^\.\/note$/m);
    assert.equal(await execText(fixture.cri, containerId, ['cat', '/note']), 'kept\n');

    await refuses(
      fixture.cri.checkpointContainer({ containerId, location: 'relative.tar' }),
      grpcCode.INVALID_ARGUMENT,
      /location "relative.tar": must be absolute/,
    );
    await refuses(
      fixture.cri.checkpointContainer({ containerId: 'f'.repeat(64), location }),
      grpcCode.NOT_FOUND,
      /no such container/,
    );
    const created = await createContainer(fixture.cri, pod, {
      image: fixture.image,
      metadata: { name: 'created' },
    });
    await refuses(
      fixture.cri.checkpointContainer({ containerId: created, location: `${fixture.dir}/two.tar` }),
      grpcCode.FAILED_PRECONDITION,
      /is created, not running/,
    );
    assert.ok(!existsSync(`${fixture.dir}/two.tar`));
    await removePod(fixture.cri, pod);
  });
});
