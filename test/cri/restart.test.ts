import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isCode } from '@amphipod/linux';
import { ContainerState, PodSandboxState } from '../../packages/runtime/src/gen/api.ts';
import { logText } from './support/cri-log.ts';
import { type Fixture, useServer } from './support/fixture.ts';
import { assertLeft, leftovers } from './support/leftovers.ts';
import {
  containerInfo,
  execText,
  kubeletNamespaces,
  NamespaceMode,
  podIp,
  removePod,
  runPod,
  sandboxConfig,
  startContainer,
} from './support/pods.ts';
import { runAny } from './support/program.ts';
import { freePort } from './support/registry.ts';

const page = 'hello from amphipod\n';

describe('restart of the daemon', () => {
  const fixture = useServer('amphipod');

  test('a pod goes on serving and logging; afterwards everything is as before', async () => {
    const nothing = await leftovers(fixture.server);
    const { pod, url, counter } = await servingPod(fixture);
    const before = await everything(fixture);
    const misses = watch(url);
    await fixture.server.kill();
    await sleep(300);
    assert.equal(await (await fetch(url)).text(), page, 'while the daemon is away');
    await fixture.server.start();
    assert.deepEqual(await everything(fixture), before);
    assert.equal(await execText(fixture.cri, counter, ['echo', 'still here']), 'still here\n');
    await fixture.cri.stopContainer({ containerId: counter, timeout: 10 });
    assert.deepEqual(await misses.end(), [], 'requests that failed');
    await removePod(fixture.cri, pod);
    const numbers = logText(`${fixture.dir}/logs/counter.log`).trimEnd().split('\n').map(Number);
    assert.ok(numbers.length > 50, `${numbers.length} lines`);
    assert.deepEqual(
      numbers,
      Array.from({ length: numbers.length }, (_, i) => i + 1),
      'no line is missing',
    );
    await assertLeft(fixture.server, nothing);
  });

  for (const [name, pid] of [
    ['container', NamespaceMode.CONTAINER],
    ['pod', NamespaceMode.POD],
  ] as const) {
    test(`a container that ended meanwhile shows its code and time (pid ${name})`, async () => {
      const securityContext = { namespaceOptions: kubeletNamespaces({ pid }) };
      const pod = await runPod(fixture.cri, { linux: { securityContext } });
      const command = ['sh', '-c', 'sleep 0.7; exit 42'];
      const containerId = await startContainer(fixture.cri, pod, {
        image: fixture.image,
        command,
        linux: { securityContext },
      });
      const startedNs = BigInt(Date.now()) * 1_000_000n;
      await fixture.server.kill();
      await sleep(1500);
      await fixture.server.start();
      const { status } = await fixture.cri.containerStatus({ containerId });
      assert.deepEqual(
        [status?.state, status?.exitCode, status?.reason],
        [ContainerState.CONTAINER_EXITED, 42, 'Error'],
      );
      const endedMs = Number((status!.finishedAt - startedNs) / 1_000_000n);
      assert.ok(endedMs > 300 && endedMs < 1300, `ended ${endedMs} ms after its start`);
      await removePod(fixture.cri, pod);
    });
  }

  test('a container killed for memory while the daemon was away is OOMKilled', async () => {
    const pod = await runPod(fixture.cri);
    const containerId = await startContainer(fixture.cri, pod, {
      image: fixture.image,
      command: ['sh', '-c', 'sleep 0.7; exec dd if=/dev/zero of=/dev/null bs=20M'],
      linux: { resources: { memoryLimitInBytes: 15n << 20n, memorySwapLimitInBytes: 15n << 20n } },
    });
    await fixture.server.kill();
    await sleep(1500);
    await fixture.server.start();
    const { status } = await fixture.cri.containerStatus({ containerId });
    assert.deepEqual([status?.exitCode, status?.reason], [137, 'OOMKilled']);
    await removePod(fixture.cri, pod);
  });

  test('a pod whose init died meanwhile is NOTREADY', async () => {
    const nothing = await leftovers(fixture.server);
    const securityContext = { namespaceOptions: kubeletNamespaces({ pid: NamespaceMode.POD }) };
    const pod = await runPod(fixture.cri, { linux: { securityContext } });
    const id = await startContainer(fixture.cri, pod, { image: fixture.image, linux: { securityContext } });
    const init = await initOf(fixture, id);
    await fixture.server.kill();
    process.kill(init, 'SIGKILL');
    await sleep(300);
    await fixture.server.start();
    const { status } = await fixture.cri.podSandboxStatus({ podSandboxId: pod.id });
    assert.equal(status?.state, PodSandboxState.SANDBOX_NOTREADY);
    await removePod(fixture.cri, pod);
    await assertLeft(fixture.server, nothing);
  });

  test('names stay taken, and a second daemon on the same root is refused', async () => {
    const pod = await runPod(fixture.cri);
    await fixture.server.kill();
    await fixture.server.start();
    await assert.rejects(fixture.cri.runPodSandbox({ config: pod.config }), { code: 6 });
    const second = await runAny(fixture.server.command);
    assert.notEqual(second.code, 0);
    assert.match(second.stderr, /another daemon uses/);
    assert.equal((await fixture.cri.version()).runtimeName, 'amphipod', 'the first one goes on');
    await removePod(fixture.cri, pod);
  });

  test('SIGTERM leaves the pods running too', async () => {
    const { pod, url } = await servingPod(fixture);
    const before = await everything(fixture);
    await fixture.server.kill('SIGTERM');
    assert.equal(fixture.server.program().exitStatus(), '0');
    assert.equal(await (await fetch(url)).text(), page);
    await fixture.server.start();
    assert.deepEqual(await everything(fixture), before);
    await removePod(fixture.cri, pod);
  });

  test('killed thirty times at any moment of RunPodSandbox: nothing without an owner', {
    timeout: 180_000,
  }, async () => {
    const nothing = await leftovers(fixture.server);
    const usualMs = await timeOfRunPod(fixture);
    for (let i = 0; i < 30; i++) {
      const pid = i % 3 === 0 ? NamespaceMode.POD : NamespaceMode.CONTAINER;
      const config = sandboxConfig({
        linux: { securityContext: { namespaceOptions: kubeletNamespaces({ pid }) } },
      });
      const call = fixture.cri.runPodSandbox({ config }).catch(() => undefined);
      await sleep(Math.random() * 1.2 * usualMs);
      await fixture.server.kill();
      await call;
      await fixture.server.start();
      const { items } = await fixture.cri.listPodSandbox();
      for (const { id } of items) await removePod(fixture.cri, { id, config });
      await assertLeft(fixture.server, nothing, `round ${i}`);
      // The same call works afterwards: its name is free.
      if (i % 10 === 0) await removePod(fixture.cri, await runPod(fixture.cri, config));
    }
  });

  test('killed at any moment of a container’s start: it is created or running, and goes away whole', {
    timeout: 180_000,
  }, async () => {
    const nothing = await leftovers(fixture.server);
    for (let i = 0; i < 12; i++) {
      const pod = await runPod(fixture.cri);
      const call = startContainer(fixture.cri, pod, { image: fixture.image }).catch(() => undefined);
      await sleep(Math.random() * 80);
      await fixture.server.kill();
      await call;
      await fixture.server.start();
      for (const { state, id } of (await fixture.cri.listContainers()).containers) {
        assert.notEqual(state, ContainerState.CONTAINER_UNKNOWN);
        if (state === ContainerState.CONTAINER_CREATED) await fixture.cri.startContainer({ containerId: id });
        assert.equal(await execText(fixture.cri, id, ['echo', 'runs']), 'runs\n');
      }
      await removePod(fixture.cri, pod);
      await assertLeft(fixture.server, nothing, `round ${i}`);
    }
  });
});

/** A pod with a web server on a host port and a container that writes a number every 10 ms. */
async function servingPod({ cri, image, dir }: Fixture) {
  mkdirSync(`${dir}/logs`, { recursive: true });
  const hostPort = await freePort();
  const pod = await runPod(cri, {
    logDirectory: `${dir}/logs`,
    portMappings: [{ containerPort: 8080, hostPort }],
  });
  const web = { image, metadata: { name: 'web' }, command: ['httpd', '-f', '-p', '8080', '-h', '/var/www'] };
  await startContainer(cri, pod, web);
  const script = 'i=0; trap "exit 0" TERM; while :; do i=$((i+1)); echo $i; usleep 10000; done';
  const counter = await startContainer(cri, pod, {
    image,
    metadata: { name: 'counter' },
    command: ['sh', '-c', script],
    logPath: 'counter.log',
  });
  const url = `http://${await podIp(cri, pod)}:8080/`;
  await sleep(200);
  return { pod, url, counter };
}

/** How long RunPodSandbox takes here, so that a random moment of it can be hit. */
async function timeOfRunPod({ cri }: Fixture): Promise<number> {
  const start = performance.now();
  const pod = await runPod(cri);
  const ms = performance.now() - start;
  await removePod(cri, pod);
  return ms;
}

/** Everything that the lists and statuses show. */
async function everything({ cri }: Fixture) {
  const { items } = await cri.listPodSandbox();
  const { containers } = await cri.listContainers();
  return {
    items,
    containers,
    sandboxes: await Promise.all(
      items.map(async ({ id }) => (await cri.podSandboxStatus({ podSandboxId: id })).status),
    ),
    statuses: await Promise.all(
      containers.map(async ({ id }) => (await cri.containerStatus({ containerId: id })).status),
    ),
    images: (await cri.listImages()).images,
  };
}

/** Asks for a page again and again until `end`, which returns what went wrong. */
function watch(url: string): { end(): Promise<string[]> } {
  const failures: string[] = [];
  let isOver = false;
  const done = (async () => {
    while (!isOver) {
      try {
        const text = await (await fetch(url, { signal: AbortSignal.timeout(3000) })).text();
        if (text !== page) failures.push(text);
      } catch (error) {
        failures.push(String(error));
      }
      await sleep(10);
    }
  })();
  return {
    async end() {
      isOver = true;
      await done;
      return failures;
    },
  };
}

/** Pid, seen from here, of PID 1 in the container's PID namespace. */
async function initOf({ cri }: Fixture, containerId: string): Promise<number> {
  const { pid } = await containerInfo(cri, containerId);
  const namespace = readlinkSync(`/proc/${pid}/ns/pid`);
  const init = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .find((name) => isFirstOf(namespace, name));
  assert.ok(init, `no PID 1 in ${namespace}`);
  return Number(init);
}

function isFirstOf(namespace: string, pid: string): boolean {
  try {
    if (readlinkSync(`/proc/${pid}/ns/pid`) !== namespace) return false;
    return /^NSpid:.*\t1$/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ESRCH', 'EACCES')) return false;
    throw error;
  }
}
