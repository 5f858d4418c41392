import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import { findProcess } from '@amphipod/linux';
import { useServer } from './support/fixture.ts';
import { assertLeft, leftovers } from './support/leftovers.ts';
import { containerInfo, execText, type Pod, removePod, runPod, startContainer } from './support/pods.ts';

describe('records that cannot be read (LIF-05)', () => {
  const fixture = useServer('amphipod');
  const start = (pod: Pod, name: string) =>
    startContainer(fixture.cri, pod, { image: fixture.image, metadata: { name } });
  const pidOf = async (containerId: string) => (await containerInfo(fixture.cri, containerId)).pid;
  /** Changes the database while the daemon is away. */
  const tamper = async (...statements: [sql: string, ...values: string[]][]) => {
    await fixture.server.kill();
    const database = new DatabaseSync(`${fixture.server.dir}/root/amphipod.db`);
    for (const [sql, ...values] of statements) database.prepare(sql).run(...values);
    database.close();
    await fixture.server.start();
  };

  test('the daemon starts; what such a container ran is ended; others go on; the name is free', async () => {
    const nothing = await leftovers(fixture.server);
    const pod = await runPod(fixture.cri);
    const good = await start(pod, 'good');
    const bad = [await start(pod, 'empty'), await start(pod, 'half'), await start(pod, 'config')];
    const copy = await start(pod, 'copy');
    const pids = await Promise.all([...bad, copy].map(pidOf));
    await tamper(
      [`UPDATE containers SET record = '' WHERE id = ?`, bad[0]!],
      ['UPDATE containers SET record = substr(record, 1, 100) WHERE id = ?', bad[1]!],
      [`UPDATE containers SET config = x'ff' WHERE id = ?`, bad[2]!],
      // A record with another's id.
      [
        'UPDATE containers SET record = (SELECT record FROM containers WHERE id = ?) WHERE id = ?',
        good,
        copy,
      ],
    );
    const { containers } = await fixture.cri.listContainers();
    assert.deepEqual(
      containers.map(({ id }) => id),
      [good],
    );
    assert.equal(await execText(fixture.cri, good, ['echo', 'lives']), 'lives\n');
    for (const pid of pids) assert.equal(findProcess(pid), undefined, `process ${pid}`);
    await start(pod, 'empty');
    await removePod(fixture.cri, pod);
    await assertLeft(fixture.server, nothing);
  });

  test('a container whose pod cannot be read is listed and can be removed', async () => {
    const pod = await runPod(fixture.cri);
    const id = await start(pod, 'left');
    await tamper([`UPDATE sandboxes SET record = '{' WHERE id = ?`, pod.id]);
    assert.deepEqual((await fixture.cri.listPodSandbox()).items, []);
    const { containers } = await fixture.cri.listContainers();
    assert.deepEqual(
      containers.map(({ podSandboxId }) => podSandboxId),
      [pod.id],
    );
    await fixture.cri.stopContainer({ containerId: id, timeout: 1 });
    await fixture.cri.removeContainer({ containerId: id });
    assert.deepEqual((await fixture.cri.listContainers()).containers, []);
    const again = await runPod(fixture.cri, pod.config);
    await removePod(fixture.cri, again);
  });
});
