import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, test } from 'node:test';
import { startAmphipod } from './support/amphipod.ts';
import { removeCgroups, removePod, runPod } from './support/pods.ts';
import { runAny } from './support/program.ts';
import { makeScratch, type Scratch } from './support/scratch.ts';
import type { CriServer } from './support/server.ts';
import { buildBusyboxImage } from './support/test-images.ts';
import { eventually } from './support/wait.ts';

const amphipod = new URL('../../bin/amphipod', import.meta.url).pathname;

interface Span {
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  status: { code?: number; message?: string };
}

/** A receiver of OTLP/HTTP in JSON. A fake: Debian has no collector. */
async function startReceiver() {
  const spans: Span[] = [];
  const server = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk) => {
      text += chunk;
    });
    request.on('end', () => {
      if (request.url === '/v1/traces') {
        for (const { scopeSpans } of JSON.parse(text).resourceSpans)
          for (const scope of scopeSpans) spans.push(...scope.spans);
      }
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { spans, server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

describe('the daemon’s own configuration', () => {
  let scratch: Scratch;
  let server: CriServer;
  let receiver: Awaited<ReturnType<typeof startReceiver>>;
  let file: string;
  let metricsUrl: string;
  const logLines = (): Record<string, unknown>[] =>
    readFileSync(server.program().logFile, 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line));
  const metrics = async () => (await fetch(metricsUrl)).text();
  const command = (...args: string[]) => runAny([amphipod, '--socket', server.socket, ...args]);

  before(async () => {
    scratch = makeScratch('daemon-config');
    receiver = await startReceiver();
    const dir = `${scratch.dir}/server`;
    mkdirSync(dir);
    file = `${dir}/config.toml`;
    writeFileSync(
      file,
      `metrics_address = "127.0.0.1:0"\notlp_endpoint = "${receiver.url}"\nsocket_mode = "0600"\nsocket_group = "adm"\n`,
    );
    server = await startAmphipod({
      dir,
      flags: ['--config', file],
      env: { OTEL_BSP_SCHEDULE_DELAY: '100' },
    });
    const port = logLines().find(({ message }) => message === 'metrics')?.port;
    metricsUrl = `http://127.0.0.1:${port}/metrics`;
  });
  after(async () => {
    await server?.[Symbol.asyncDispose]();
    receiver.server.close();
    receiver.server.closeAllConnections();
    await removeCgroups();
    scratch[Symbol.dispose]();
  });

  test('the socket has the mode and the group that the file says', () => {
    const { mode, gid } = statSync(server.socket);
    const adm = /^adm:[^:]*:(\d+):/m.exec(readFileSync('/etc/group', 'utf8'))![1];
    assert.equal(mode & 0o777, 0o600);
    assert.equal(String(gid), adm);
  });

  test('metrics count calls by method and code, steps, plugins, and what there is', async () => {
    const pod = await runPod(server.cri);
    await assert.rejects(server.cri.podSandboxStatus({ podSandboxId: 'none' }));
    const text = await metrics();
    const value = (line: string) =>
      Number(
        text
          .split('\n')
          .find((other) => other.startsWith(line))
          ?.split(' ')
          .at(-1),
      );
    assert.equal(value('amphipod_cri_call_seconds_count{method="RunPodSandbox",code="OK"}'), 1);
    assert.equal(value('amphipod_cri_call_seconds_count{method="PodSandboxStatus",code="NOT_FOUND"}'), 1);
    assert.equal(value('amphipod_cri_step_seconds_count{step="run-pod-sandbox.network"}'), 1);
    assert.equal(value('amphipod_cri_step_seconds_count{step="cni bridge ADD"}'), 1);
    assert.ok(value('amphipod_cri_step_seconds_sum{step="cni bridge ADD"}') > 0);
    assert.equal(value('amphipod_pod_sandboxes{state="ready"}'), 1);
    assert.equal(value('amphipod_queue_length{queue="image pulls"}'), 0);
    assert.equal(value('amphipod_cri_calls_under_way{method="RunPodSandbox"}'), 0);
    assert.match(
      text,
      /^amphipod_info\{version="[^"]+",runtime="runc",cgroup_driver="(cgroupfs|systemd)"\} 1$/m,
    );
    assert.match(text, /^process_resident_memory_bytes \d+$/m);
    await removePod(server.cri, pod);
    assert.equal((await fetch(metricsUrl.replace('metrics', 'other'))).status, 404);
  });

  test('a call is a span with its steps below it, a failed one with its error', async () => {
    const pod = await runPod(server.cri);
    await assert.rejects(server.cri.podSandboxStatus({ podSandboxId: 'none' }));
    await removePod(server.cri, pod);
    await eventually('the spans', () =>
      receiver.spans.some(({ name }) => name.endsWith('/RemovePodSandbox')),
    );
    const call = receiver.spans.findLast(({ name }) => name === 'runtime.v1.RuntimeService/RunPodSandbox')!;
    const steps = receiver.spans.filter(({ parentSpanId }) => parentSpanId === call.spanId);
    assert.deepEqual(
      steps.map(({ name }) => name),
      [
        'run-pod-sandbox.record',
        'run-pod-sandbox.files',
        'run-pod-sandbox.namespaces',
        'cni bridge ADD',
        'cni portmap ADD',
        'run-pod-sandbox.network',
        'run-pod-sandbox.further-networks',
        'run-pod-sandbox.init',
        'run-pod-sandbox.ready',
      ],
    );
    for (const { traceId, startTimeUnixNano: start, endTimeUnixNano: end } of steps) {
      assert.equal(traceId, call.traceId);
      assert.ok(BigInt(start) >= BigInt(call.startTimeUnixNano) - 1_000_000n && BigInt(start) <= BigInt(end));
    }
    const failed = receiver.spans.findLast(({ name }) => name.endsWith('/PodSandboxStatus'))!;
    assert.equal(failed.status.code, 2);
    assert.match(failed.status.message!, /none/);
  });

  test('reload: what changed, what needs a restart, and a mistake that changes nothing', async () => {
    const original = readFileSync(file, 'utf8');
    const calls = () => logLines().filter(({ message }) => message === 'call').length;
    assert.deepEqual(await command('reload'), { code: 0, stdout: 'nothing to change\n', stderr: '' });
    assert.equal(calls(), 0);
    writeFileSync(file, `${original}log_level = "debug"\nstream_port = 1\n`);
    const { code, stdout } = await command('reload');
    assert.equal(code, 0);
    assert.equal(stdout, 'changed: log_level\nat the next start: stream_port\n');
    assert.ok(calls() > 0);

    writeFileSync(file, `${original}log_level = "info"\nno_such = 1\n`);
    const mistake = await command('reload');
    assert.equal(mistake.code, 1);
    assert.match(
      mistake.stderr,
      /config \S+config\.toml:6: no_such = 1: unknown key.*\nnothing was changed\n/s,
    );
    const before = calls();
    await server.cri.version({});
    await eventually('a line for the call', () => calls() > before);
    assert.equal(JSON.parse((await server.cri.status({ verbose: true })).info.config!).logLevel, 'debug');
  });

  test('reload reaches the image store; a file that it refuses changes nothing', async () => {
    const original = readFileSync(file, 'utf8').replace(/^no_such.*$/m, '');
    const image = buildBusyboxImage(`${scratch.dir}/image`);
    await server.loadImage(image.dir, image.name);
    const pinned = async () => (await server.cri.listImages({})).images.map((listed) => listed.pinned);
    assert.deepEqual(await pinned(), [false]);
    writeFileSync(file, `${original}pinned_images = ["localhost/*"]\n`);
    assert.match((await command('reload')).stdout, /^changed: pinned_images/);
    assert.deepEqual(await pinned(), [true]);

    writeFileSync(`${scratch.dir}/policy.json`, '{"default": [{"type": "nonsense"}]}');
    writeFileSync(file, `${original}pinned_images = []\nsignature_policy = "${scratch.dir}/policy.json"\n`);
    const mistake = await command('reload');
    assert.equal(mistake.code, 1);
    assert.match(mistake.stderr, /policy\.json.*nonsense.*\nnothing was changed/s);
    assert.deepEqual(await pinned(), [true]);

    writeFileSync(`${scratch.dir}/policy.json`, '{"default": [{"type": "reject"}]}');
    assert.match((await command('reload')).stdout, /^changed: signature_policy, pinned_images/);
    assert.deepEqual(await pinned(), [false]);
    await assert.rejects(server.loadImage(image.dir, image.name), /the policy rejects it/);
  });

  test('config check and config default need no daemon', async () => {
    const bad = `${scratch.dir}/bad.toml`;
    writeFileSync(bad, 'root = "/a"\nroot_dir = "/b"\n');
    const checked = await runAny([amphipod, 'config', 'check', '--config', bad]);
    assert.equal(checked.code, 1);
    assert.match(checked.stderr, /bad\.toml:2: root_dir = "\/b": unknown key/);
    const text = await runAny([amphipod, 'config', 'default']);
    writeFileSync(bad, `${text.stdout}log_level = "warn"\n`);
    chmodSync(bad, 0o644);
    const good = await runAny([amphipod, 'config', 'check', '--config', bad, '-o', 'json']);
    assert.deepEqual(JSON.parse(good.stdout), {
      files: [bad],
      settings: [{ key: 'log_level', value: 'warn', source: bad }],
    });
  });
});
