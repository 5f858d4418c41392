import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ContainerState } from '../../packages/runtime/src/gen/api.ts';
import { findCrictl, lacksCrictl } from './support/crictl.ts';
import {
  connectionsOf,
  descriptorsOf,
  endSessionsAfterEach,
  killSession,
  type SessionOptions,
  startCrictl,
  type Transport,
} from './support/crictl-session.ts';
import { useServer } from './support/fixture.ts';
import {
  execText,
  exited,
  processesLike,
  removePod,
  runPod,
  startContainer,
  withContainer,
} from './support/pods.ts';
import { childrenOf, residentBytes } from './support/proc.ts';
import { eventually } from './support/wait.ts';

const program = findCrictl();
const MiB = 1 << 20;
/** AMPHIPOD_TEST_EXECS=1000 */
const execs = Number(process.env.AMPHIPOD_TEST_EXECS ?? 40);

describe('what sessions leave behind', { skip: lacksCrictl }, () => {
  const fixture = useServer('amphipod');
  endSessionsAfterEach();
  const daemon = () => fixture.server.program().pid;
  const exec = (transport: Transport, args: string[], options: SessionOptions = {}) =>
    startCrictl(program!, fixture.server, ['exec', '--transport', transport, ...args], options);
  const running = (id: string, text: string) => processesLike(fixture.cri, id, text);

  for (const transport of ['spdy', 'websocket'] as const) {
    test(`${transport}: 40 sessions, eight at a time, every second one killed: nothing`, async () => {
      await withContainer(fixture, {}, async (id) => {
        const rest = () => ({ descriptors: descriptorsOf(daemon()).length, children: childrenOf(daemon()) });
        await exec(transport, [id, 'true']).result;
        await eventually('no zombie', () => !rest().children.includes('Z'));
        const before = rest();
        for (let round = 0; round < 5; round++) {
          const sessions = Array.from({ length: 8 }, (_, i) =>
            exec(transport, i % 2 === 0 ? ['-i', id, 'sh', '-c', 'echo up; exec cat'] : [id, 'echo', 'up']),
          );
          await eventually('the commands', () => sessions.every(({ output }) => output() === 'up\n'));
          for (const session of sessions) killSession(session);
          await Promise.all(sessions.map(({ result }) => result));
        }
        await eventually('the end of the sessions', () => connectionsOf(daemon()) === 0);
        await eventually('the end of the commands', async () => (await running(id, 'cat')) === 0);
        await eventually('the state of before', () => {
          assert.deepEqual(rest().children, before.children);
          return rest().descriptors <= before.descriptors + 1;
        });
      });
    });

    test(`${transport}: ${execs} commands in a row leave no descriptor, process or memory`, async () => {
      await withContainer(fixture, {}, async (id) => {
        const run = async (count: number) => {
          for (let i = 0; i < count; i++) {
            const { stdout } = await exec(transport, ['-i', id, 'cat'], { input: 'text' }).result;
            assert.equal(`${stdout}`, 'text');
          }
        };
        await run(Math.min(100, execs));
        await eventually('no zombie', () => !childrenOf(daemon()).includes('Z'));
        const before = { descriptors: descriptorsOf(daemon()).length, memory: residentBytes(daemon()) };
        const children = childrenOf(daemon());
        await run(execs);
        await eventually('the state of before', () => {
          assert.deepEqual(childrenOf(daemon()), children);
          return descriptorsOf(daemon()).length <= before.descriptors + 1;
        });
        const more = (residentBytes(daemon()) - before.memory) / MiB;
        assert.ok(more < 40, `${more} MiB more`);
      });
    });

    test(`${transport}: 100 MiB to a client that reads slowly are not kept in memory`, async () => {
      await withContainer(fixture, {}, async (id) => {
        const before = residentBytes(daemon());
        const session = exec(transport, [id, 'sh', '-c', 'head -c 104857600 /dev/zero'], { isDeaf: true });
        let [received, peak] = [0, 0];
        for await (const chunk of session.child.stdout!) {
          received += (chunk as Buffer).length;
          peak = Math.max(peak, residentBytes(daemon()));
          if (received < 10 * MiB) await sleep(2);
        }
        assert.equal(received, 100 * MiB);
        assert.ok(peak - before < 60 * MiB, `${(peak - before) / MiB} MiB more`);
      });
    });
  }

  test('a monitor whose container ends, and background processes, leave no zombie', async () => {
    await withContainer(fixture, { command: ['sleep', '0.1'] }, async (id) => {
      await exited(fixture.cri, id);
    });
    await withContainer(fixture, {}, async (id) => {
      await execText(fixture.cri, id, ['sh', '-c', '(sleep 0.2; exit 3) & exit 0']);
      await exec('spdy', [id, 'sh', '-c', '(sleep 0.2; exit 3) & exit 0']).result;
    });
    await eventually('the end of all', () => childrenOf(daemon()).every((state) => state !== 'Z'));
  });

  test('the daemon stops in mid-session: its clients are told', async () => {
    await withContainer(fixture, {}, async (id) => {
      const sessions = (['spdy', 'websocket'] as const).map((transport) =>
        exec(transport, ['-i', id, 'sh', '-c', 'echo up; cat']),
      );
      for (const { output } of sessions) await eventually('the command', () => output() === 'up\n');
      await fixture.server.kill('SIGTERM');
      for (const { result } of sessions) {
        const { code, stderr } = await result;
        assert.notEqual(code, 0);
        assert.match(stderr, /the runtime is stopping/);
      }
      await fixture.server.start();
    });
  });

  test('the daemon is killed in mid-session: its commands end, the container does not, and its exit is known later', async () => {
    const pod = await runPod(fixture.cri);
    const command = ['sh', '-c', 'trap "exit 9" TERM; while :; do sleep 0.1; done'];
    const id = await startContainer(fixture.cri, pod, { image: fixture.image, command });
    const piped = exec('spdy', ['-i', id, 'sh', '-c', 'echo up; cat; : 4711; cat']);
    const onTerminal = exec('websocket', ['-it', id, 'sh', '-c', 'echo up; sleep 4712'], {
      terminal: { rows: 24, columns: 80 },
    });
    for (const { output } of [piped, onTerminal])
      await eventually('the command', () => output().includes('up'));
    await fixture.server.kill('SIGKILL');
    // What crictl makes of it is its own affair: to its SPDY client a lost connection is success.
    for (const { result } of [piped, onTerminal]) await result;
    await fixture.server.start();
    await eventually('the end of the commands', async () => {
      return (await running(id, '4711')) + (await running(id, '4712')) === 0;
    });
    const { status } = await fixture.cri.containerStatus({ containerId: id });
    assert.equal(status?.state, ContainerState.CONTAINER_RUNNING);
    assert.equal((await exec('spdy', [id, 'echo', 'again']).result).stdout.toString(), 'again\n');
    await fixture.cri.stopContainer({ containerId: id, timeout: 5 });
    assert.equal((await exited(fixture.cri, id)).exitCode, 9);
    await removePod(fixture.cri, pod);
  });
});
