import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { describe, test } from 'node:test';
import { mount, unmount } from '@amphipod/linux';
import { readLog } from './support/cri-log.ts';
import { useServer } from './support/fixture.ts';
import { assertLeft, leftovers } from './support/leftovers.ts';
import {
  createContainer,
  execText,
  exited,
  killMonitor,
  removePod,
  runPod,
  runToEnd,
  startContainer,
} from './support/pods.ts';
import { grpcCode } from './support/refuses.ts';
import { eventually, patient } from './support/wait.ts';

describe('field cases of logs', () => {
  const fixture = useServer('amphipod');
  const podWithLogs = (logDirectory = `${fixture.dir}/logs`) => runPod(fixture.cri, { logDirectory });

  const unfinished: [name: string, script: string, expected: string[]][] = [
    ['one piece', 'printf hello', ['stdout hello']],
    ['a line and a piece', 'printf "a\\nb"', ['stdout a', 'stdout b']],
    ['nothing', 'printf ""', []],
    ['only stderr', 'printf oops >&2', ['stderr oops']],
    ['both streams', 'printf out; printf err >&2', ['stdout out', 'stderr err']],
    ['killed', 'printf pending; kill -9 $$', ['stdout pending']],
  ];
  for (const [name, script, expected] of unfinished) {
    test(`a last line without newline is ended at the exit: ${name} (LOG-01)`, async () => {
      const pod = await podWithLogs();
      const command = ['sh', '-c', script];
      const { status } = await runToEnd(fixture.cri, pod, { image: fixture.image, command });
      const entries = readLog(status.logPath);
      for (const stream of ['stdout', 'stderr']) {
        const last = entries.filter((entry) => entry.stream === stream).at(-1);
        assert.notEqual(last?.tag, 'P', `${stream} ends with ${JSON.stringify(last)}`);
      }
      const lines: string[] = [];
      for (const stream of ['stdout', 'stderr']) {
        let line = '';
        for (const { tag, content } of entries.filter((entry) => entry.stream === stream)) {
          line += content;
          if (tag === 'P') continue;
          lines.push(`${stream} ${line}`);
          line = '';
        }
      }
      assert.deepEqual(lines, expected);
      await removePod(fixture.cri, pod);
    });
  }

  test('bytes stay as they are: one record for each newline (LOG-03)', async () => {
    const pod = await podWithLogs();
    const script =
      "printf '\\355\\253\\356\\333\\003\\000\\r\\n\\n\\033[31m\\n'; head -c 1000000 /dev/urandom | tee /random; echo; exec sleep 1000";
    const id = await startContainer(fixture.cri, pod, {
      image: fixture.image,
      command: ['sh', '-c', script],
      logPath: 'bytes.log',
    });
    const { exitCode, stdout } = await eventually('the random file', async () => {
      const answer = await fixture.cri.execSync({ containerId: id, cmd: ['cat', '/random'], timeout: 10 });
      return answer.stdout.length === 1_000_000 && answer;
    });
    assert.equal(exitCode, 0);
    await fixture.cri.stopContainer({ containerId: id, timeout: 0 });
    const wrote = Buffer.concat([
      Buffer.from('\xed\xab\xee\xdb\x03\x00\r\n\n\x1b[31m\n', 'latin1'),
      stdout,
      Buffer.from('\n'),
    ]);
    let text = '';
    for (const line of readFileSync(`${fixture.dir}/logs/bytes.log`, 'latin1').split('\n').slice(0, -1)) {
      const [, tag, content] = /^\S+ stdout ([FP]) (.*)$/s.exec(line)!;
      text += tag === 'F' ? `${content}\n` : content;
    }
    assert.ok(Buffer.from(text, 'latin1').equals(wrote), 'the log differs from the output');
    await removePod(fixture.cri, pod);
  });

  test('rotation and status during a long stop answer at once (LOG-04)', async () => {
    const pod = await podWithLogs();
    const containerId = await startContainer(fixture.cri, pod, {
      image: fixture.image,
      command: ['sh', '-c', 'trap "" TERM; while :; do echo line; usleep 10000; done'],
      logPath: 'stubborn.log',
    });
    const file = `${fixture.dir}/logs/stubborn.log`;
    await eventually('a line', () => existsSync(file) && readLog(file).length > 0);
    const stopping = fixture.cri.stopContainer({ containerId, timeout: 300 });
    renameSync(file, `${file}.1`);
    await fixture.cri.reopenContainerLog({ containerId }, { timeoutMs: patient(1000) });
    assert.ok(existsSync(file));
    await fixture.cri.containerStatus({ containerId }, { timeoutMs: patient(1000) });
    await eventually('a line in the new file', () => readLog(file).length > 0);
    await fixture.cri.stopContainer({ containerId, timeout: 0 });
    await stopping;
    await removePod(fixture.cri, pod);
  });

  test('a full log disk does not block the container, and lines come again when there is room (LOG-06)', async () => {
    const logs = `${fixture.dir}/small`;
    mkdirSync(logs);
    mount(logs, { source: 'small', type: 'tmpfs', data: 'size=256k' });
    const pod = await podWithLogs(logs);
    const line = 'x'.repeat(1000);
    const script = `i=0; while :; do echo ${line}; i=$((i+1)); echo $i > /heartbeat; usleep 1000; done`;
    const containerId = await startContainer(fixture.cri, pod, {
      image: fixture.image,
      command: ['sh', '-c', script],
      logPath: 'full.log',
    });
    const beats = async () => Number(await execText(fixture.cri, containerId, ['cat', '/heartbeat']));
    await eventually('far more output than the disk takes', async () => (await beats()) > 1000, {
      timeoutMs: 30_000,
    });
    const then = await beats();
    await eventually('more output', async () => (await beats()) > then + 100);
    renameSync(`${logs}/full.log`, `${logs}/old`);
    rmSync(`${logs}/old`);
    await fixture.cri.reopenContainerLog({ containerId });
    await eventually('lines', () => readLog(`${logs}/full.log`).length > 3);
    await fixture.cri.stopContainer({ containerId, timeout: 0 });
    const entries = readLog(`${logs}/full.log`);
    assert.ok(entries.filter(({ content }) => content === line).length > 3);
    assert.equal((await fixture.cri.version({})).runtimeName, 'amphipod');
    await removePod(fixture.cri, pod);
    unmount(logs);
  });

  test('names that are too long for a path: refused with the path, nothing left (LOG-07)', async () => {
    const nothing = await leftovers(fixture.server);
    const call = podWithLogs(`${fixture.dir}/logs/${'d'.repeat(300)}`);
    await assert.rejects(call, (error: Error & { details?: string; code?: number }) => {
      assert.equal(error.code, grpcCode.INVALID_ARGUMENT, error.details);
      assert.match(error.details!, /log_directory ".*d{300}": .*ENAMETOOLONG/);
      return true;
    });
    await assertLeft(fixture.server, nothing);
    const pod = await runPod(fixture.cri, {
      logDirectory: `${fixture.dir}/logs/${'d'.repeat(240)}`,
      metadata: { name: 'p'.repeat(253), namespace: 'n'.repeat(63) },
    });
    const metadata = { name: 'c'.repeat(253) };
    const bad = createContainer(fixture.cri, pod, {
      image: fixture.image,
      metadata,
      logPath: `${'c'.repeat(300)}/0.log`,
    });
    await assert.rejects(bad, /log_path ".*c{300}\/0\.log": .*ENAMETOOLONG/);
    const long = {
      image: fixture.image,
      metadata,
      command: ['echo', 'ok'],
      logPath: `${'c'.repeat(200)}/0.log`,
    };
    const id = await startContainer(fixture.cri, pod, long);
    const { logPath } = await exited(fixture.cri, id);
    assert.deepEqual(
      readLog(logPath).map(({ content }) => content),
      ['ok'],
    );
    await removePod(fixture.cri, pod);
  });

  test('the monitor dies with a piece pending: what was logged stays readable (LOG-01)', async () => {
    const pod = await podWithLogs();
    const id = await startContainer(fixture.cri, pod, {
      image: fixture.image,
      command: ['sh', '-c', 'echo whole; printf piece; exec sleep 1000'],
      logPath: 'killed.log',
    });
    const file = `${fixture.dir}/logs/killed.log`;
    await eventually('the piece', () => existsSync(file) && readFileSync(file, 'utf8').includes('piece'));
    await killMonitor(fixture.cri, id);
    await fixture.cri.stopContainer({ containerId: id, timeout: 1 });
    await exited(fixture.cri, id);
    assert.deepEqual(
      readLog(file).map(({ tag, content }) => `${tag}:${content}`),
      ['F:whole', 'P:piece', 'F:'],
    );
    await removePod(fixture.cri, pod);
  });
});
