// exec, attach and port-forward of our own command line, with containerd's server too.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { projectDir } from './support/amphipod.ts';
import {
  endSessionsAfterEach,
  killSession,
  type SessionOptions,
  startSession,
  terminalOf,
} from './support/crictl-session.ts';
import { subjects, useServer } from './support/fixture.ts';
import { removePod, runPod, startContainer, withContainer } from './support/pods.ts';
import { run } from './support/program.ts';
import { eventually } from './support/wait.ts';

const MiB = 1 << 20;

for (const subject of subjects) {
  describe(`amphipod exec, attach, port-forward with ${subject}`, () => {
    const fixture = useServer(subject);
    endSessionsAfterEach();
    const start = (args: string[], options: SessionOptions = {}) =>
      startSession([`${projectDir}/bin/amphipod`, '--socket', fixture.server.socket, ...args], options);

    test('exec: streams apart, exit codes as documented', async () => {
      await withContainer(fixture, {}, async (id) => {
        const { code, stdout, stderr } = await start([
          'exec',
          id,
          'sh',
          '-c',
          'echo out; echo err >&2; exit 7',
        ]).result;
        assert.deepEqual([code, `${stdout}`, stderr], [7, 'out\n', 'err\n']);
        const missing = await start(['exec', id, '/no/such/program']).result;
        assert.equal(missing.code, 127);
        assert.match(missing.stderr, /^amphipod: exec: .*no such file/);
        assert.equal((await start(['exec', id, '/etc/passwd']).result).code, 126);
        assert.equal((await start(['exec', 'nobody', 'true']).result).code, 125);
        assert.equal((await start(['exec', id, 'sh', '-c', 'kill -9 $$']).result).code, 137);
      });
    });

    const lacksStatus =
      subject === 'containerd' && 'containerd 1.6: the connection ends before the status came';
    test('exec -i: input with its end, much of it, both ways', { skip: lacksStatus }, async () => {
      await withContainer(fixture, {}, async (id) => {
        const input = Buffer.alloc(20 * MiB, 'amphipod');
        const { code, stdout, stderr } = await start(['exec', '-i', id, 'cat'], { input }).result;
        assert.deepEqual([code, stderr], [0, '']);
        assert.ok(stdout.equals(input), `${stdout.length} bytes`);
        // A command that ends before its input does.
        assert.equal((await start(['exec', '-i', id, 'sh', '-c', 'exit 4']).result).code, 4);
      });
    });

    test('exec -it: a terminal of our size, changed later too; the local one is as before', async () => {
      await withContainer(fixture, {}, async (id) => {
        const onChange = 'stty size; stty size | grep -q 50 || exit 3';
        const script = `stty size; trap "${onChange}" WINCH; echo ready; while :; do sleep 0.1; done`;
        const terminal = { rows: 50, columns: 200 };
        const amphipod = `${projectDir}/bin/amphipod --socket ${fixture.server.socket}`;
        const session = startSession(
          [
            'sh',
            '-c',
            `stty -a >${fixture.dir}/before; ${amphipod} exec -it ${id} sh -c '${script}'; echo code $?; stty -a`,
          ],
          { terminal },
        );
        await eventually('the command', () => session.output().includes('ready'));
        // containerd 1.6 passes the first size on after the command has started.
        if (subject === 'amphipod') assert.match(session.output(), /50 200\r\nready/);
        await run(['stty', '-F', terminalOf(session), 'rows', '33', 'cols', '44']);
        const { stdout } = await session.result;
        assert.match(`${stdout}`, /33 44\r\ncode 3\r\n/);
        assert.match(`${stdout}`, / icanon .* echo /s);
      });
    });

    test('exec -it: keys go to the command, Ctrl-C too', async () => {
      await withContainer(fixture, {}, async (id) => {
        const session = start(['exec', '-it', id, 'sh'], { terminal: { rows: 24, columns: 80 } });
        session.child.stdin!.write('echo $((6*7))\n');
        await eventually('the sum', () => session.output().includes('\r\n42\r\n'));
        session.child.stdin!.write('sleep 1000\n');
        await eventually('the command', () => session.output().includes('sleep 1000'));
        await sleep(200);
        session.child.stdin!.write('\u0003');
        // The terminal drops what it holds when the key comes.
        await eventually('the key', () => session.output().includes('^C'));
        await sleep(200);
        session.child.stdin!.write('exit 6\n');
        assert.equal((await session.result).code, 6);
      });
    });

    test('attach -i, and its end with the container', async () => {
      const command = ['sh', '-c', 'read line; echo "got $line"; read line'];
      await withContainer(fixture, { command, stdin: true, stdinOnce: true }, async (id) => {
        const { code, stdout } = await start(['attach', '-i', id], { input: 'one\n' }).result;
        assert.deepEqual([code, `${stdout}`], [0, 'got one\n']);
      });
    });

    test('port-forward: several connections, one after a refused one', async () => {
      const command = ['httpd', '-f', '-p', '8080', '-h', '/var/www'];
      await withContainer(fixture, { command }, async (_id, podId) => {
        const session = start(['port-forward', podId, ':8080', ':81']);
        await eventually('the ports', () => /-> 8080\n[^\n]*-> 81\n/.test(session.output()));
        const [, good = '', bad = ''] = /:(\d+) -> 8080\n.*:(\d+) -> 81\n/.exec(session.output()) ?? [];
        const get = () => talk(Number(good), 'GET /index.html HTTP/1.0\r\n\r\n');
        assert.match(await eventually('the server', get), /hello from amphipod/);
        let said = '';
        session.child.stderr!.on('data', (text: string) => {
          said += text;
        });
        // With containerd 1.6 a session is of no use after a refused connection.
        if (subject === 'amphipod') {
          await talk(Number(bad), 'x').catch(() => {});
          await eventually('the reason', () => /refused/i.test(said));
        }
        const answers = await Promise.all(Array.from({ length: 10 }, get));
        for (const answer of answers) assert.match(answer, /hello from amphipod/);
        session.child.kill('SIGINT');
        assert.equal((await session.result).code, 0);
      });
    });

    test('the server ends in mid-session: an error, and the local terminal is given back', async () => {
      const pod = await runPod(fixture.cri);
      const id = await startContainer(fixture.cri, pod, { image: fixture.image });
      const shell = start(['exec', '-it', id, 'sh', '-c', 'echo ready; sleep 4711'], {
        terminal: { rows: 24, columns: 80 },
      });
      await eventually('the shell', () => shell.output().includes('ready'));
      await fixture.server.kill('SIGTERM');
      const { code, stdout } = await shell.result;
      assert.equal(code, 125);
      assert.match(`${stdout}`, /^amphipod: exec: .*(connection lost|runtime is stopping)/m);
      await fixture.server.start();
      // Neither the container nor who asks next is harmed.
      const { stdout: text } = await start(['exec', id, 'sh', '-c', 'ps | grep -c "[s]leep 4711"']).result;
      if (subject === 'amphipod') assert.equal(`${text}`, '0\n');
      await removePod(fixture.cri, pod);
      killSession(shell);
    });
  });
}

async function talk(port: number, question: string): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1' });
  await once(socket, 'connect');
  socket.write(question);
  let text = '';
  for await (const chunk of socket) text += chunk;
  return text;
}
