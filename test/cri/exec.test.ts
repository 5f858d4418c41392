import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { subjects, useServer } from './support/fixture.ts';
import { createContainer, execText, removePod, runPod, withContainer } from './support/pods.ts';

const deadlineExceeded = 4;

for (const subject of subjects) {
  describe(`ExecSync with ${subject}`, () => {
    const fixture = useServer(subject);
    const exec = (containerId: string, script: string, timeout = 10) =>
      fixture.cri.execSync({ containerId, cmd: ['sh', '-c', script], timeout });

    test('streams apart, exit code in the answer', async () => {
      await withContainer(fixture, {}, async (id) => {
        const { stdout, stderr, exitCode } = await exec(id, 'echo -n out; echo -n err >&2; exit 7');
        assert.deepEqual([`${stdout}`, `${stderr}`, exitCode], ['out', 'err', 7]);
        for (const code of [0, 1, 126, 255]) assert.equal((await exec(id, `exit ${code}`)).exitCode, code);
        assert.equal((await exec(id, 'kill -9 $$')).exitCode, 137);
      });
    });

    test('bytes pass unchanged', async () => {
      await withContainer(fixture, {}, async (id) => {
        const { stdout } = await exec(id, 'printf "\\000\\001\\377\\012\\302\\240"');
        assert.deepEqual([...stdout], [0, 1, 255, 10, 0xc2, 0xa0]);
      });
    });

    test('stdin is empty', async () => {
      await withContainer(fixture, {}, async (id) => {
        assert.deepEqual(await exec(id, 'cat; echo end'), {
          stdout: Buffer.from('end\n'),
          stderr: Buffer.from(''),
          exitCode: 0,
        });
      });
    });

    test('a timeout is DEADLINE_EXCEEDED, and the command is gone', async () => {
      await withContainer(fixture, {}, async (containerId) => {
        const start = performance.now();
        const command = { containerId, cmd: ['sleep', '4321'], timeout: 1 };
        await assert.rejects(fixture.cri.execSync(command), { code: deadlineExceeded });
        const ms = performance.now() - start;
        assert.ok(ms >= 900 && ms < 5000, `${ms} ms`);
        assert.equal(`${(await exec(containerId, 'ps | grep "[s]leep 4321"; true')).stdout}`, '');
        // pgrep counts zombies too.
        assert.equal(`${(await exec(containerId, 'ps -o stat,comm | grep "^Z"; true')).stdout}`, '');
      });
    });

    const treeSkip =
      subject === 'containerd' &&
      'containerd 1.6 kills the command only, and waits for the pipes of its children';
    test('a timeout ends the whole process tree', { skip: treeSkip }, async () => {
      await withContainer(fixture, {}, async (id) => {
        const tree = 'sh -c "sleep 4321 & sleep 4322" & sleep 4323; true';
        await assert.rejects(exec(id, tree, 1), { code: deadlineExceeded });
        assert.equal(`${(await exec(id, 'ps | grep "[s]leep 432"; true')).stdout}`, '');
      });
    });

    test('user, environment and directory are the container’s', async () => {
      const given = {
        envs: [{ key: 'FROM_POD', value: Buffer.from('yes') }],
        workingDir: '/var/www',
        linux: { securityContext: { runAsUser: { value: 1000n } } },
      };
      await withContainer(fixture, given, async (id) => {
        assert.equal(
          await execText(fixture.cri, id, ['sh', '-c', 'id -u; pwd; echo $FROM_IMAGE $FROM_POD']),
          '1000\n/var/www\nyes yes\n',
        );
      });
    });

    test('sixteen at once', async () => {
      await withContainer(fixture, {}, async (id) => {
        const answers = await Promise.all(
          Array.from({ length: 16 }, (_, i) => exec(id, `echo ${i}; exit ${i}`)),
        );
        assert.deepEqual(
          answers.map(({ stdout, exitCode }) => `${stdout}`.trim() + exitCode),
          answers.map((_, i) => `${i}${i}`),
        );
      });
    });

    const cutSkip =
      subject === 'containerd' &&
      'containerd 1.6 cuts at 16 MiB, which its own message limit does not let pass';
    test('output beyond what a message holds is cut, the command goes on', { skip: cutSkip }, async () => {
      await withContainer(fixture, {}, async (id) => {
        const { stdout, exitCode } = await exec(id, 'head -c 20000000 /dev/zero; exit 5', 60);
        // Below 16 MiB by as much as the rest of the answer takes: the kubelet accepts no longer message.
        assert.ok(stdout.length > 15 << 20 && stdout.length < 16 << 20, `${stdout.length} bytes`);
        assert.equal(exitCode, 5);
      });
    });

    test('a command that does not exist, an empty one, a container that does not run', async () => {
      await withContainer(fixture, {}, async (containerId) => {
        await assert.rejects(
          fixture.cri.execSync({ containerId, cmd: ['/no/such/command'], timeout: 5 }),
          /no such|not found/,
        );
        await assert.rejects(fixture.cri.execSync({ containerId, cmd: [], timeout: 5 }));
      });
      const pod = await runPod(fixture.cri);
      const created = await createContainer(fixture.cri, pod, { image: fixture.image });
      await assert.rejects(exec(created, 'true'), /running|CREATED|created/);
      await removePod(fixture.cri, pod);
    });
  });
}
