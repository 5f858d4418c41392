import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { findCrictl } from './support/crictl.ts';
import { type SessionOptions, startCrictl, type Transport } from './support/crictl-session.ts';
import { subjects, useServer } from './support/fixture.ts';
import { execText, removePod, runPod, startContainer } from './support/pods.ts';
import { eventually } from './support/wait.ts';

const program = findCrictl();
const skip = program === undefined && 'crictl is not installed: scripts/setup.sh test builds it where Go is';
const MiB = 1 << 20;

for (const subject of subjects) {
  // containerd 1.6 serves SPDY only.
  const transports: Transport[] = subject === 'amphipod' ? ['spdy', 'websocket'] : ['spdy'];
  describe(`crictl exec with ${subject}`, { skip }, () => {
    const fixture = useServer(subject);
    const withContainer = async (given: object, work: (id: string) => Promise<void>) => {
      const pod = await runPod(fixture.cri);
      await work(await startContainer(fixture.cri, pod, { image: fixture.image, ...given }));
      await removePod(fixture.cri, pod);
    };
    for (const transport of transports) {
      const start = (args: string[], options: SessionOptions = {}) =>
        startCrictl(program!, fixture.server, ['exec', '--transport', transport, ...args], options);
      const sh = (id: string, flags: string[], script: string, options: SessionOptions = {}) =>
        start([...flags, id, 'sh', '-c', script], options).result;

      test(`${transport}: streams apart, exit code, no input`, async () => {
        await withContainer({}, async (id) => {
          const { code, stdout, stderr } = await sh(id, [], 'echo out; echo err >&2; cat; exit 7');
          assert.equal(`${stdout}`, 'out\n');
          assert.match(stderr, /^err$/m);
          assert.match(stderr, /exit code 7|code: 7|status 7/);
          assert.notEqual(code, 0);
          assert.equal((await sh(id, [], 'true')).code, 0);
        });
      });

      test(`${transport}: input ends when the client's does`, async () => {
        await withContainer({}, async (id) => {
          const { code, stdout } = await sh(id, ['-i'], 'cat; echo end', { input: 'some input\n' });
          assert.deepEqual([code, `${stdout}`], [0, 'some input\nend\n']);
        });
      });

      test(`${transport}: much data arrives whole, both ways (EXE-02)`, async () => {
        await withContainer({}, async (id) => {
          const input = randomBytes(40 * MiB);
          const sum = createHash('sha256').update(input).digest('hex');
          const there = await sh(id, ['-i'], 'sha256sum', { input });
          assert.equal(`${there.stdout}`.split(' ')[0], sum);
          const back = await sh(id, ['-i'], 'cat', { input });
          assert.equal(createHash('sha256').update(back.stdout).digest('hex'), sum);
          const slow = await sh(id, ['-i'], 'sleep 1; cat | sha256sum', { input: input.subarray(0, 8 * MiB) });
          assert.equal(
            `${slow.stdout}`.split(' ')[0],
            createHash('sha256').update(input.subarray(0, 8 * MiB)).digest('hex'),
          );
        });
      });
    }
  });
}
void execText;
void eventually;
