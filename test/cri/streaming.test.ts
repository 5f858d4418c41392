import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { findCrictl, lacksCrictl } from './support/crictl.ts';
import {
  connectionsOf,
  endSessionsAfterEach,
  killSession,
  type SessionOptions,
  startCrictl,
  terminalOf,
  transportsOf,
} from './support/crictl-session.ts';
import { subjects, useServer } from './support/fixture.ts';
import { processesLike, removePod, runPod, startContainer, withContainer } from './support/pods.ts';
import { run } from './support/program.ts';
import { eventually } from './support/wait.ts';

const program = findCrictl();
const MiB = 1 << 20;
/** AMPHIPOD_TEST_STREAM=500x20: 500 MiB each way, 20 times. */
const [streamMiB = 40, streamRuns = 1] = process.env.AMPHIPOD_TEST_STREAM?.split('x').map(Number) ?? [];

for (const subject of subjects) {
  describe(`crictl exec with ${subject}`, { skip: lacksCrictl }, () => {
    const fixture = useServer(subject);
    endSessionsAfterEach();
    for (const transport of transportsOf(subject)) {
      const start = (args: string[], options: SessionOptions = {}) =>
        startCrictl(program!, fixture.server, ['exec', '--transport', transport, ...args], options);
      const sh = (id: string, flags: string[], script: string, options: SessionOptions = {}) =>
        start([...flags, id, 'sh', '-c', script], options).result;

      test(`${transport}: streams apart, exit code, no input`, async () => {
        await withContainer(fixture, {}, async (id) => {
          const { code, stdout, stderr } = await sh(id, [], 'echo out; echo err >&2; cat; exit 7');
          assert.equal(`${stdout}`, 'out\n');
          assert.match(stderr, /^err$/m);
          assert.match(stderr, /exit code 7|code: 7|status 7/);
          assert.notEqual(code, 0);
          assert.equal((await sh(id, [], 'true')).code, 0);
        });
      });

      test(`${transport}: input ends when the client's does`, async () => {
        await withContainer(fixture, {}, async (id) => {
          const { code, stdout } = await sh(id, ['-i'], 'cat; echo end', { input: 'some input\n' });
          assert.deepEqual([code, `${stdout}`], [0, 'some input\nend\n']);
        });
      });

      test(`${transport}: much data arrives whole, both ways (EXE-02)`, async () => {
        await withContainer(fixture, {}, async (id) => {
          const input = randomBytes(streamMiB * MiB);
          const sum = createHash('sha256').update(input).digest('hex');
          for (let run = 0; run < streamRuns; run++) {
            const there = await sh(id, ['-i'], 'sha256sum', { input });
            assert.equal(`${there.stdout}`.split(' ')[0], sum);
            const back = await sh(id, ['-i'], 'cat', { input });
            assert.equal(createHash('sha256').update(back.stdout).digest('hex'), sum);
          }
          const slow = await sh(id, ['-i'], 'sleep 1; cat | sha256sum', {
            input: input.subarray(0, 8 * MiB),
          });
          assert.equal(
            `${slow.stdout}`.split(' ')[0],
            createHash('sha256')
              .update(input.subarray(0, 8 * MiB))
              .digest('hex'),
          );
        });
      });

      test(`${transport}: a terminal of the client's size, changed later too (EXE-07)`, async () => {
        await withContainer(fixture, {}, async (id) => {
          const terminal = { rows: 50, columns: 200 };
          const onChange = 'stty size; stty size | grep -q 50 || exit 3';
          const script = `stty size; echo $TERM; tty; trap "${onChange}" WINCH; echo ready; while :; do sleep 0.1; done`;
          const session = start(['-it', id, 'sh', '-c', script], { terminal });
          await eventually('the shell', () => session.output().includes('ready'));
          assert.match(session.output(), /xterm\r\n\/dev\/pts\/\d+\r\nready/);
          // containerd 1.6 passes the first size on after the command has started.
          if (subject === 'amphipod') assert.match(session.output(), /^50 200\r\nxterm\r\n.*\r\nready\r\n$/);
          await run(['stty', '-F', terminalOf(session), 'rows', '33', 'cols', '44']);
          const { stdout } = await session.result;
          assert.match(`${stdout}`, subject === 'amphipod' ? /ready\r\n33 44\r\n/ : /33 44\r\n/);
        });
      });

      test(`${transport}: a shell on a terminal takes commands and ends with exit`, async () => {
        await withContainer(fixture, {}, async (id) => {
          const session = start(['-it', id, 'sh'], { terminal: { rows: 24, columns: 80 } });
          session.child.stdin!.write('echo $((6*7)); exit\n');
          const { stdout } = await session.result;
          assert.match(`${stdout}`, /\r\n42\r\n/);
        });
      });

      test(`${transport}: a command that does not exist`, async () => {
        await withContainer(fixture, {}, async (id) => {
          const { code, stderr } = await start([id, '/no/such/program']).result;
          assert.notEqual(code, 0);
          assert.match(stderr, /no such file|not found/);
        });
      });

      const leavesCommand =
        subject === 'containerd' &&
        'containerd 1.6 lets a command on a terminal run on when its client is gone';
      test(`${transport}: a client that vanishes from its terminal: SIGHUP (EXE-06)`, {
        skip: leavesCommand,
      }, async () => {
        await withContainer(fixture, {}, async (id) => {
          const running = () => processesLike(fixture.cri, id, 'sleep 4321');
          const session = start(['-it', id, 'sleep', '4321'], { terminal: { rows: 24, columns: 80 } });
          await eventually('the command', async () => (await running()) === 1);
          killSession(session);
          await eventually('its end', async () => (await running()) === 0, { timeoutMs: 3000 });
        });
      });

      test(`${transport}: a client that vanishes without a terminal: end of input (EXE-06)`, async () => {
        await withContainer(fixture, {}, async (id) => {
          const running = () => processesLike(fixture.cri, id, '4322');
          const session = start(['-i', id, 'sh', '-c', 'cat; sleep 0; : 4322; cat']);
          await eventually('the command', async () => (await running()) === 1);
          killSession(session);
          await eventually('its end', async () => (await running()) === 0, { timeoutMs: 3000 });
        });
      });

      test(`${transport}: a client that reads nothing does not hold up StopContainer (EXE-03)`, async () => {
        await withContainer(fixture, {}, async (containerId) => {
          const noisy = 'while :; do echo XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX; done';
          const terminal = { rows: 24, columns: 80 };
          start(['-it', containerId, 'sh', '-c', noisy], { terminal, isDeaf: true });
          const stopped = start([containerId, 'sh', '-c', noisy]);
          await sleep(1500);
          stopped.child.kill('SIGSTOP');
          await sleep(500);
          const startedAt = performance.now();
          await fixture.cri.stopContainer({ containerId, timeout: 5 });
          assert.ok(performance.now() - startedAt < 6000, `${performance.now() - startedAt} ms`);
          // containerd keeps them until the client goes.
          if (subject !== 'amphipod') return;
          const timeoutMs = 6000 - (performance.now() - startedAt);
          const isGone = () => connectionsOf(fixture.server.program().pid) === 0;
          await eventually('the end of the sessions', isGone, { timeoutMs });
        });
      });

      test(`${transport}: removing the pod ends the client with an error (EXE-06)`, async () => {
        const pod = await runPod(fixture.cri);
        const id = await startContainer(fixture.cri, pod, { image: fixture.image });
        const session = start(['-i', id, 'sh', '-c', 'echo ready; cat']);
        await eventually('the shell', () => session.output().includes('ready'));
        await removePod(fixture.cri, pod);
        const removedAt = performance.now();
        const { code } = await session.result;
        assert.notEqual(code, 0);
        assert.ok(performance.now() - removedAt < 2000, `${performance.now() - removedAt} ms`);
      });
    }
  });
}
