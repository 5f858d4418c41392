/** What users of other runtimes reported of networks whose plugins fail, hang or find things in disorder. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { afterEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { killQuietly } from '@amphipod/linux';
import { MountPropagation, PodSandboxState } from '../../packages/runtime/src/gen/api.ts';
import { ownPluginDir } from './support/amphipod.ts';
import { useServer } from './support/fixture.ts';
import { assertLeft, leftovers } from './support/leftovers.ts';
import { bridgeConflist } from './support/network.ts';
import {
  kubeletNamespaces,
  NamespaceMode,
  removePod,
  runPod,
  sandboxConfig,
  startContainer,
} from './support/pods.ts';
import { run } from './support/program.ts';
import { grpcCode, refuses } from './support/refuses.ts';
import { ScriptedPlugin } from './support/scripted-plugin.ts';
import { eventually } from './support/wait.ts';

const network = { bridge: 'crit6', prefix: '10.201.6' };
const TIMEOUT_MS = 4000;

describe('plugins that fail, hang and are cut off', () => {
  let plugin: ScriptedPlugin;
  const fixture = useServer('amphipod', (dir) => {
    mkdirSync(`${dir}/scripted`);
    plugin = new ScriptedPlugin(`${dir}/scripted`);
    const bridge = JSON.parse(bridgeConflist(network, `${dir}/ipam`)) as { plugins: object[] };
    const plugins = [...bridge.plugins, { type: ScriptedPlugin.type }];
    return {
      cniBinDirs: [plugin.binDir, ownPluginDir],
      cniConfigs: { '10-faults.conflist': JSON.stringify({ ...bridge, plugins }) },
      flags: ['--cni-timeout-ms', `${TIMEOUT_MS}`],
    };
  });
  const reservations = async () => (await leftovers(fixture.server)).reservations;
  const sandboxes = async () => (await fixture.cri.listPodSandbox()).items;
  const resultFile = (id: string) => `${fixture.server.dir}/cni-cache/results/${network.bridge}-${id}-eth0`;
  const log = () => readFileSync(`${fixture.server.dir}/amphipod.log`, 'utf8');
  afterEach(() => {
    plugin.on('ADD', undefined);
    plugin.on('DEL', undefined);
  });

  test('the last plugin fails on ADD and DEL twenty times: no address is kept, each sandbox until its DEL succeeded (CNI-04)', async () => {
    const nothing = await leftovers(fixture.server);
    plugin.on('ADD', 'status=1');
    plugin.on('DEL', 'status=1');
    const rounds = 20;
    for (let i = 0; i < rounds; i++) {
      await refuses(runPod(fixture.cri), grpcCode.INTERNAL, /type="scripted" failed \(add\): told to fail/);
    }
    const failed = await sandboxes();
    assert.deepEqual([failed.length, await reservations()], [rounds, []]);
    assert.ok(failed.every(({ state }) => state === PodSandboxState.SANDBOX_NOTREADY));
    const [{ id: first } = { id: '' }] = failed;
    await refuses(fixture.cri.removePodSandbox({ podSandboxId: first }), grpcCode.INTERNAL, /told to fail/);
    assert.equal((await sandboxes()).length, rounds);

    plugin.uninstall();
    await refuses(
      fixture.cri.removePodSandbox({ podSandboxId: first }),
      grpcCode.INTERNAL,
      /failed to find plugin "scripted"/,
    );
    assert.equal((await sandboxes()).length, rounds);

    plugin.install();
    plugin.on('DEL', undefined);
    for (const { id } of failed) await fixture.cri.removePodSandbox({ podSandboxId: id });
    assert.deepEqual(await sandboxes(), []);
    await assertLeft(fixture.server, nothing);
  });

  test('the caller gives up during ADD: DEL has time of its own, nothing is left (CNI-05)', async () => {
    const nothing = await leftovers(fixture.server);
    plugin.on('ADD', 'touch "$dir/adding"; sleep 30');
    // Longer than the caller had.
    plugin.on('DEL', 'sleep 1.5');
    await assert.rejects(
      fixture.cri.runPodSandbox({ config: sandboxConfig() }, { timeoutMs: 1000 }),
      /DEADLINE_EXCEEDED/,
    );
    await eventually('the end of the clean-up', async () =>
      isDeepStrictEqual(await leftovers(fixture.server), nothing),
    );
    assert.deepEqual(await sandboxes(), []);
    const ofPod = await plugin.calls();
    const { containerID } = ofPod.at(-1)!;
    const last = ofPod.filter((call) => call.containerID === containerID);
    assert.equal(last[0]!.command, 'ADD');
    assert.ok(last.slice(1).some(({ command, endedAt }) => command === 'DEL' && endedAt !== undefined));
  });

  test('StopPodSandbox and RemovePodSandbox while ADD is under way: the pod is removed, nothing is left (CNI-05)', async () => {
    const nothing = await leftovers(fixture.server);
    const before = (await plugin.calls()).length;
    plugin.on('ADD', 'sleep 1');
    const adding = runPod(fixture.cri).catch((error: Error) => error);
    const podSandboxId = await eventually(
      'the call of ADD',
      async () => (await plugin.calls())[before]?.containerID,
    );
    await fixture.cri.stopPodSandbox({ podSandboxId });
    await fixture.cri.removePodSandbox({ podSandboxId });
    await adding;
    await fixture.cri.removePodSandbox({ podSandboxId });
    assert.deepEqual(await sandboxes(), []);
    await assertLeft(fixture.server, nothing);
  });

  const damages: Record<string, (path: string) => void> = {
    empty: (path) => writeFileSync(path, ''),
    half: (path) => writeFileSync(path, readFileSync(path).subarray(0, 200)),
    'an empty object': (path) => writeFileSync(path, '{}'),
    "another container's": (path) =>
      writeFileSync(path, readFileSync(path, 'utf8').replace(/"containerId":"[^"]*"/, '"containerId":"x"')),
    'a directory': (path) => {
      rmSync(path);
      mkdirSync(path);
    },
  };
  for (const [what, damage] of Object.entries(damages)) {
    test(`the cached result is ${what}: the pod is removed whole, the log says what was wrong (CNI-10)`, async () => {
      const nothing = await leftovers(fixture.server);
      const pod = await runPod(fixture.cri);
      damage(resultFile(pod.id));
      await removePod(fixture.cri, pod);
      await assertLeft(fixture.server, nothing);
      assert.match(
        log()
          .split('\n')
          .find((line) => line.includes(pod.id) && line.includes('detaching without it')) ?? '',
        /"level":"warn","message":"(read cache file|decode cached result)/,
      );
    });
  }

  test('a plugin that hangs: Status names it, others go on, it is killed with its children, DEL follows (CNI-15)', async () => {
    const nothing = await leftovers(fixture.server);
    const before = (await plugin.calls()).length;
    const other = await runPod(fixture.cri);
    // The child holds stdout open.
    plugin.on('ADD', 'sleep 9999 & echo "$$\n$!" >"$dir/hung"; wait');
    const startedAt = performance.now();
    const hanging = refuses(
      runPod(fixture.cri),
      grpcCode.DEADLINE_EXCEEDED,
      /type="scripted" failed \(add\): no answer within 4000 ms, killed/,
    );
    const hung = await eventually('the call of ADD', async () =>
      (await plugin.calls()).slice(before + 1).find(({ command }) => command === 'ADD'),
    );
    const asked = performance.now();
    const { status, info } = await fixture.cri.status({ verbose: true });
    assert.ok(performance.now() - asked < 1000, 'Status answers at once');
    assert.ok(status?.conditions.every((condition) => condition.status));
    const { calls } = JSON.parse(info.network!) as { calls: Record<string, string>[] };
    assert.deepEqual(
      calls.map((call) => [call.plugin, call.command, call.containerID]),
      [['scripted', 'ADD', hung.containerID]],
    );
    const securityContext = { namespaceOptions: kubeletNamespaces({ network: NamespaceMode.NODE }) };
    await removePod(fixture.cri, await runPod(fixture.cri, { linux: { securityContext } }));
    await removePod(fixture.cri, other);
    assert.ok(performance.now() - startedAt < TIMEOUT_MS, 'nobody waited for the one that hangs');
    // Waits for the call that hangs, which ends at its time limit.
    await fixture.cri.stopPodSandbox({ podSandboxId: hung.containerID });
    await hanging;
    const tookMs = performance.now() - startedAt;
    assert.ok(tookMs < TIMEOUT_MS + 5000, `${tookMs} ms`);
    const [, del] = (await plugin.calls()).filter(({ containerID }) => containerID === hung.containerID);
    assert.ok(del?.command === 'DEL' && del.endedAt !== undefined);
    for (const pid of readFileSync(`${plugin.dir}/hung`, 'utf8').trim().split('\n')) {
      assert.ok(!isRunning(Number(pid)), `process ${pid} of the plugin is gone`);
    }
    await fixture.cri.removePodSandbox({ podSandboxId: hung.containerID });
    await assertLeft(fixture.server, nothing);
  });

  test('another pod’s mount holds the namespaces: both are removed (CNI-18)', async () => {
    const { cri, image, server } = fixture;
    const nothing = await leftovers(server);
    const held = await runPod(cri);
    const holder = await runPod(cri);
    await startContainer(cri, holder, {
      image,
      mounts: [
        {
          hostPath: `${server.dir}/state`,
          containerPath: '/host',
          propagation: MountPropagation.PROPAGATION_PRIVATE,
        },
      ],
    });
    await removePod(cri, held);
    await removePod(cri, holder);
    await assertLeft(server, nothing);
  });

  test('a plain file where the namespace was: DEL gets no path, all is removed (CNI-18)', async () => {
    const { cri, server } = fixture;
    const nothing = await leftovers(server);
    const pod = await runPod(cri);
    const pin = `${server.dir}/state/sandboxes/${pod.id}/net`;
    await run(['umount', '-l', pin]);
    assert.ok(existsSync(pin));
    await removePod(cri, pod);
    await assertLeft(server, nothing);
    const calls = (await plugin.calls()).filter(({ containerID }) => containerID === pod.id);
    assert.deepEqual(
      calls.map(({ command, netns }) => [command, netns]),
      [
        ['ADD', pin],
        ['DEL', ''],
      ],
    );
  });

  test('a slow DEL has its namespace to the end, alone, whoever removes the pod meanwhile (CNI-20)', async () => {
    const { cri, server } = fixture;
    const nothing = await leftovers(server);
    const securityContext = { namespaceOptions: kubeletNamespaces({ pid: NamespaceMode.POD }) };
    const pod = await runPod(cri, { linux: { securityContext } });
    const pin = `${server.dir}/state/sandboxes/${pod.id}/net`;
    const init = processesIn(pin);
    assert.ok(init.length > 0);
    plugin.on('DEL', 'sleep 2; nsenter --net="$CNI_NETNS" ip link show eth0 || status=1');
    const stops = [cri.stopPodSandbox({ podSandboxId: pod.id })];
    await sleep(300);
    for (const pid of init) killQuietly(pid, 'SIGKILL');
    stops.push(cri.stopPodSandbox({ podSandboxId: pod.id }), cri.removePodSandbox({ podSandboxId: pod.id }));
    await sleep(1000);
    await run(['nsenter', `--net=${pin}`, 'ip', 'link', 'show', 'eth0']);
    await Promise.all(stops);
    await assertLeft(server, nothing);
    const dels = (await plugin.calls()).filter(
      ({ command, containerID }) => command === 'DEL' && containerID === pod.id,
    );
    assert.equal(dels.length, 1, 'those who waited find it done');
    assert.ok(dels[0]!.endedAt! - dels[0]!.startedAt >= 2);
  });
});

/** Pids of the processes in a pinned network namespace. */
function processesIn(pin: string): number[] {
  const { ino } = statSync(pin);
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        return statSync(`/proc/${pid}/ns/net`).ino === ino;
      } catch {
        return false;
      }
    });
}

/** Neither gone nor a zombie. */
function isRunning(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}
