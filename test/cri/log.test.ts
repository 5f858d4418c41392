import assert from 'node:assert/strict';
import { existsSync, readFileSync, renameSync, statSync } from 'node:fs';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { logText, readLog } from './support/cri-log.ts';
import { subjects, useServer } from './support/fixture.ts';
import { exited, removePod, runPod, runToEnd, startContainer } from './support/pods.ts';
import { eventually } from './support/wait.ts';

for (const subject of subjects) {
  describe(`container logs with ${subject}`, () => {
    const fixture = useServer(subject);
    const podWithLogs = () => runPod(fixture.cri, { logDirectory: `${fixture.dir}/logs` });
    const logFile = (name: string) => `${fixture.dir}/logs/${name}.log`;
    const runShell = async (name: string, script: string) => {
      const pod = await podWithLogs();
      const command = ['sh', '-c', script];
      const result = await runToEnd(fixture.cri, pod, { image: fixture.image, metadata: { name }, command });
      await removePod(fixture.cri, pod);
      return result;
    };

    test('both streams, line by line, complete when EXITED is visible', async () => {
      const { status } = await runShell(
        'streams',
        'echo out 1; echo err 1 >&2; echo; echo "  spaces  "; echo out 2',
      );
      const entries = readLog(logFile('streams'));
      const of = (stream: string) => entries.filter((entry) => entry.stream === stream);
      assert.deepEqual(
        of('stdout').map(({ tag, content }) => `${tag}:${content}`),
        ['F:out 1', 'F:', 'F:  spaces  ', 'F:out 2'],
      );
      assert.deepEqual(
        of('stderr').map(({ tag, content }) => `${tag}:${content}`),
        ['F:err 1'],
      );
      assert.equal(status.logPath, logFile('streams'));
    });

    test('times never go back and lie between start and end', async () => {
      const { status } = await runShell('times', 'for i in $(seq 200); do echo $i; done');
      const times = readLog(logFile('times')).map(({ time }) => time);
      assert.equal(times.length, 200);
      assert.deepEqual(times, times.toSorted());
      const [first, last] = [times[0]!, times.at(-1)!].map((time) => BigInt(Date.parse(time)) * 1_000_000n);
      assert.ok(first! >= status.createdAt - 2_000_000n, `${times[0]} is before the container`);
      // The time of an end may be that of a file, which counts in ticks of the kernel: up to 10 ms.
      assert.ok(
        last! <= status.finishedAt + 10_000_000n,
        `${times.at(-1)} is after the end ${status.finishedAt}`,
      );
    });

    test('a line longer than the buffer is cut into P entries and one F entry', async () => {
      const script = 'head -c 40000 /dev/zero | tr "\\0" x; echo; echo short';
      const { stdout } = await runShell('long', script);
      assert.equal(stdout, `${'x'.repeat(40000)}\nshort\n`);
      const tags = readLog(logFile('long'))
        .map(({ tag }) => tag)
        .join('');
      assert.match(tags, /^P+FF$/);
    });

    test('a last line without newline is kept', async () => {
      const { stdout } = await runShell('unfinished', 'echo whole; printf "no newline"');
      assert.match(stdout, /^whole\nno newline\n?$/);
    });

    const muchSkip =
      subject === 'containerd' && 'containerd 1.6 loses the end: 73728 of 108894 bytes arrive here';
    test('much output at once is complete and in order', { skip: muchSkip }, async () => {
      const { stdout } = await runShell('much', 'seq 1 20000');
      const expected = Array.from({ length: 20000 }, (_, i) => `${i + 1}\n`).join('');
      assert.equal(stdout.length, expected.length);
      assert.ok(stdout === expected, 'the log differs from the output');
    });

    test('bytes that are not UTF-8 do not disturb other lines', async () => {
      await runShell('bytes', 'printf "\\377\\376\\n"; echo after');
      const lines = readFileSync(logFile('bytes'), 'latin1').split('\n');
      assert.match(lines[0]!, / stdout F \xff\xfe$/);
      assert.match(lines[1]!, / stdout F after$/);
    });

    test('ReopenContainerLog: the new file is there at once, nothing is lost, the old file stays still', async () => {
      const pod = await podWithLogs();
      const containerId = await startContainer(fixture.cri, pod, {
        image: fixture.image,
        command: ['sh', '-c', 'i=0; while :; do i=$((i+1)); echo $i; usleep 5000; done'],
        logPath: 'reopen.log',
      });
      const [file, old] = [logFile('reopen'), `${logFile('reopen')}.old`];
      await eventually('some lines', () => readLog(file).length > 20);
      renameSync(file, old);
      await fixture.cri.reopenContainerLog({ containerId });
      assert.ok(existsSync(file), 'the new file exists when the call returns');
      const oldSize = statSync(old).size;
      await eventually('lines in the new file', () => logText(file).length > 20);
      await sleep(200);
      assert.equal(statSync(old).size, oldSize);
      await removePod(fixture.cri, pod);
      const numbers = `${logText(old)}${logText(file)}`.trimEnd().split('\n').map(Number);
      assert.deepEqual(
        numbers,
        Array.from({ length: numbers.length }, (_, i) => i + 1),
      );
    });

    test('ReopenContainerLog of a container that ended makes no file, or succeeds with one', async () => {
      const pod = await podWithLogs();
      const containerId = await startContainer(fixture.cri, pod, {
        image: fixture.image,
        command: ['true'],
        logPath: 'ended.log',
      });
      await exited(fixture.cri, containerId);
      renameSync(logFile('ended'), `${logFile('ended')}.old`);
      const done = await fixture.cri.reopenContainerLog({ containerId }).then(
        () => true,
        () => false,
      );
      assert.equal(existsSync(logFile('ended')), done);
      await removePod(fixture.cri, pod);
    });

    test('a log outlives its container; others may not read it', async () => {
      const { status } = await runShell('kept', 'echo kept');
      assert.equal(logText(status.logPath), 'kept\n');
      assert.equal(statSync(status.logPath).mode & 0o007, 0);
    });

    test('no log path, no log', async () => {
      const pod = await podWithLogs();
      const containerId = await startContainer(fixture.cri, pod, {
        image: fixture.image,
        command: ['echo', 'unheard'],
      });
      assert.equal((await exited(fixture.cri, containerId)).exitCode, 0);
      await removePod(fixture.cri, pod);
    });
  });
}
