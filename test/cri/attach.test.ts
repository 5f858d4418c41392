import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { findCrictl, lacksCrictl } from './support/crictl.ts';
import {
  connectionsOf,
  descriptorsOf,
  endSessionsAfterEach,
  killSession,
  type SessionOptions,
  startCrictl,
  terminalOf,
  transportsOf,
} from './support/crictl-session.ts';
import { subjects, useServer } from './support/fixture.ts';
import { exited, withContainer } from './support/pods.ts';
import { run } from './support/program.ts';
import { eventually } from './support/wait.ts';

const program = findCrictl();

for (const subject of subjects) {
  describe(`crictl attach with ${subject}`, { skip: lacksCrictl }, () => {
    const fixture = useServer(subject);
    endSessionsAfterEach();
    for (const transport of transportsOf(subject)) {
      const start = (args: string[], options: SessionOptions = {}) =>
        startCrictl(program!, fixture.server, ['attach', '--transport', transport, ...args], options);

      test(`${transport}: with stdin_once the end of the first client's input is the container's (EXE-08)`, async () => {
        const command = ['sh', '-c', 'while read line; do echo "got $line"; done; echo end; exit 5'];
        await withContainer(fixture, { command, stdin: true, stdinOnce: true }, async (id) => {
          const { stdout } = await start(['-i', id], { input: 'one\ntwo\n' }).result;
          assert.equal(`${stdout}`, 'got one\ngot two\nend\n');
          assert.equal((await exited(fixture.cri, id)).exitCode, 5);
        });
      });

      test(`${transport}: without stdin_once the input stays open for the next client (EXE-08)`, async (t) => {
        if (subject === 'containerd')
          return t.skip(
            'containerd 1.6: input of a second client does not arrive after the first was killed',
          );
        const command = ['sh', '-c', 'while read line; do echo "got $line"; done'];
        await withContainer(fixture, { command, stdin: true }, async (id) => {
          for (const word of ['one', 'two']) {
            const session = start(['-i', id], { input: `${word}\n` });
            await eventually('the answer', () => session.output() === `got ${word}\n`);
            killSession(session);
          }
        });
      });

      test(`${transport}: two clients hear the same, and end with the container (EXE-08)`, async () => {
        const command = ['sh', '-c', 'read line; echo "out $line"; echo "err $line" >&2; read line'];
        await withContainer(fixture, { command, stdin: true }, async (id) => {
          const listener = start([id]);
          // Attached when the daemon has its connection.
          await eventually('the first', () => connectionsOf(fixture.server.program().pid) >= 1);
          const speaker = start(['-i', id]);
          await eventually('the second', () => connectionsOf(fixture.server.program().pid) >= 2);
          await new Promise((resolve) => setTimeout(resolve, 500));
          speaker.child.stdin!.write('a\n');
          for (const { output } of [listener, speaker])
            await eventually('the output', () => output() === 'out a\n');
          speaker.child.stdin!.write('b\n');
          for (const { result } of [listener, speaker]) assert.match((await result).stderr, /^err a$/m);
        });
      });

      test(`${transport}: a container with a terminal, and its size`, async () => {
        const command = ['sh', '-c', 'while read line; do stty size; done'];
        await withContainer(fixture, { command, stdin: true, tty: true }, async (id) => {
          const session = start(['-it', id], { terminal: { rows: 50, columns: 200 } });
          const saysSize = (size: string) => () => {
            session.child.stdin!.write('\n');
            return session.output().includes(`${size}\r\n`);
          };
          await eventually('the first size', saysSize('50 200'), { everyMs: 100 });
          // crictl listens for SIGWINCH a moment after it has sent the first size: a change before that is lost in it.
          let columns = 44;
          const changesSize = async () => {
            await run(['stty', '-F', terminalOf(session), 'rows', '33', 'cols', `${columns}`]);
            return await eventually('the size', saysSize(`33 ${columns++}`), {
              everyMs: 100,
              timeoutMs: 1000,
            });
          };
          await eventually('a new size', changesSize);
        });
      });
    }

    test('40 clients that come and go leave nothing (EXE-08)', async (t) => {
      if (subject === 'containerd')
        return t.skip('containerd 1.6 keeps connections of clients that were killed');
      await withContainer(fixture, { command: ['sleep', '9999'] }, async (id) => {
        const { pid } = fixture.server.program();
        const attachFour = async () => {
          const four = Array.from({ length: 4 }, () => startCrictl(program!, fixture.server, ['attach', id]));
          await eventually('the connections', () => connectionsOf(pid) === 4);
          for (const session of four) killSession(session);
          await eventually('their end', () => connectionsOf(pid) === 0);
        };
        await attachFour();
        const before = descriptorsOf(pid).length;
        for (let i = 0; i < 10; i++) await attachFour();
        await eventually('the descriptors', () => descriptorsOf(pid).length <= before + 1);
      });
    });
  });
}
