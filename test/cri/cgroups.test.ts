import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { cgroupCreate, cgroupDirs, detectCgroups, isCode } from '@amphipod/linux';
import { CgroupDriver, ContainerEventType, ContainerState } from '../../packages/runtime/src/gen/api.ts';
import { useServer } from './support/fixture.ts';
import {
  cgroupDriver,
  containerInfo,
  createContainer,
  execText,
  exited,
  kubeletNamespaces,
  NamespaceMode,
  type Pod,
  podCgroup,
  podInfo,
  removePod,
  runPod,
  startContainer,
} from './support/pods.ts';
import { run } from './support/program.ts';
import { grpcCode, refuses } from './support/refuses.ts';
import { eventually } from './support/wait.ts';

const MiB = 2n ** 20n;
const layout = detectCgroups();
const drivers = cgroupDriver === 'systemd' ? (['cgroupfs', 'systemd'] as const) : (['cgroupfs'] as const);

/** Ways to use more memory than there is: in one piece, and line by line. */
const oomCommands = [
  ['sh', '-c', 'dd if=/dev/zero of=/dev/null bs=20M'],
  ['tail', '/dev/zero'],
];

for (const driver of drivers) {
  describe(`control groups of version ${layout.version} with amphipod and driver ${driver}`, () => {
    const fixture = useServer('amphipod', { flags: ['--cgroup-driver', driver] });
    const limited = { resources: { memoryLimitInBytes: 15n * MiB, memorySwapLimitInBytes: 15n * MiB } };
    const pod = (given: NonNullable<Parameters<typeof runPod>[1]> = {}) => {
      const uid = randomUUID();
      return runPod(fixture.cri, {
        metadata: { uid },
        ...given,
        linux: { cgroupParent: podCgroup(uid, driver), ...given.linux },
      });
    };

    test('RuntimeConfig says which driver the kubelet must use', async () => {
      const { linux } = await fixture.cri.runtimeConfig();
      assert.equal(linux!.cgroupDriver, driver === 'systemd' ? CgroupDriver.SYSTEMD : CgroupDriver.CGROUPFS);
    });

    test('processes are in a group of their own below the given parent', async () => {
      const securityContext = { namespaceOptions: kubeletNamespaces({ pid: NamespaceMode.POD }) };
      const one = await pod({ linux: { securityContext } });
      const id = await startContainer(fixture.cri, one, { image: fixture.image, linux: { securityContext } });
      const parent = one.config.linux!.cgroupParent!;
      for (const [name, pid] of [
        [id, (await containerInfo(fixture.cri, id)).pid],
        [`${one.id}-init`, (await podInfo(fixture.cri, one.id)).pid],
      ] as const) {
        const leaf = driver === 'systemd' ? `${parent}/cri-amphipod-${name}.scope` : `${parent}/${name}`;
        const groups = readFileSync(`/proc/${pid}/cgroup`, 'latin1');
        const line = layout.version === 2 ? /^0::(.*)$/m.exec(groups) : /^\d+:memory:(.*)$/m.exec(groups);
        // crun has a group of its own inside the scope.
        assert.equal(line![1]!.replace(/\/container$/, ''), leaf);
      }
      await removePod(fixture.cri, one);
    });

    const parents: [given: string, text: RegExp][] =
      driver === 'systemd'
        ? [
            ['/kubepods/pod1', /cgroup_parent "\/kubepods\/pod1": is not a slice/],
            ['a--b.slice', /no name of a slice/],
          ]
        : [
            ['/kubepods.slice', /is of the systemd driver; this runtime uses cgroupfs/],
            ['relative', /must be absolute/],
            ['/a/../../b', /must be absolute/],
          ];
    for (const [cgroupParent, text] of parents) {
      test(`a wrong parent is refused: ${cgroupParent}`, async () => {
        const before = (await fixture.cri.listPodSandbox()).items.length;
        await refuses(pod({ linux: { cgroupParent } }), grpcCode.INVALID_ARGUMENT, text);
        assert.equal((await fixture.cri.listPodSandbox()).items.length, before);
      });
    }

    test('[RES-03] a pod without a parent gets one of ours, and it goes with the pod', async () => {
      const one = await pod({ linux: { cgroupParent: '' } });
      await startContainer(fixture.cri, one, { image: fixture.image });
      const { stats } = await fixture.cri.podSandboxStats({ podSandboxId: one.id });
      assert.ok(stats!.linux!.memory!.usageBytes!.value > 0n);
      assert.notDeepEqual(groupsNaming(one.id), []);
      await removePod(fixture.cri, one);
      assert.deepEqual(groupsNaming(one.id), []);
      if (driver === 'systemd')
        assert.doesNotMatch(await run(['systemctl', 'list-units', '--all', '--plain']), new RegExp(one.id));
    });

    test('[RES-03] nothing stays below the kubelet’s parent, which can be removed at once and which we never remove', {
      timeout: 240_000,
    }, async () => {
      for (let i = 0; i < 8; i++) {
        const securityContext = {
          namespaceOptions: kubeletNamespaces({
            pid: i % 2 === 0 ? NamespaceMode.POD : NamespaceMode.CONTAINER,
          }),
        };
        const one = await pod({ linux: { securityContext } });
        const parent = one.config.linux!.cgroupParent!;
        if (driver === 'cgroupfs') cgroupCreate(layout, parent);
        const image = fixture.image;
        const id = await startContainer(fixture.cri, one, { image, linux: { securityContext } });
        await execText(fixture.cri, id, ['true']);
        const oom = await startContainer(fixture.cri, one, {
          image,
          metadata: { name: 'oom' },
          command: oomCommands[0]!,
          linux: { ...limited, securityContext },
        });
        await exited(fixture.cri, oom);
        const broken = await createContainer(fixture.cri, one, {
          image,
          metadata: { name: 'broken' },
          command: ['/missing'],
          linux: { securityContext },
        });
        await assert.rejects(fixture.cri.startContainer({ containerId: broken }));
        await fixture.cri.stopPodSandbox({ podSandboxId: one.id });
        if (i % 4 !== 0) await fixture.cri.removePodSandbox({ podSandboxId: one.id });
        for (const dir of cgroupDirs(layout, parent)) {
          if (existsSync(dir))
            assert.deepEqual(childrenOf(dir), [], 'empty when StopPodSandbox has returned');
        }
        if (driver === 'cgroupfs') {
          for (const dir of cgroupDirs(layout, parent))
            assert.ok(existsSync(dir), `${dir} is not ours to remove`);
          for (const dir of cgroupDirs(layout, parent)) await run(['rmdir', dir]);
        } else {
          await run(['systemctl', 'stop', parent.slice(parent.lastIndexOf('/') + 1)]);
        }
        await removePod(fixture.cri, one);
        for (const name of [one.id, id, oom, broken]) assert.deepEqual(groupsNaming(name), []);
      }
      if (driver === 'systemd') {
        const units = await eventually('systemd to forget the scopes', async () => {
          const text = await run([
            'systemctl',
            'list-units',
            '--all',
            '--plain',
            '--no-legend',
            '--type=scope',
          ]);
          return !text.includes('cri-amphipod') && { text };
        });
        assert.doesNotMatch(units.text, /failed/);
        assert.equal(
          await run(['systemctl', 'list-units', '--failed', '--plain', '--no-legend', '--type=scope']),
          '',
        );
      }
    });

    const rounds = 20;
    for (const command of oomCommands) {
      test(`[RES-01] ${rounds} of ${rounds} out-of-memory kills are recognised: ${command.join(' ')}`, {
        timeout: 240_000,
      }, async () => {
        const one = await pod();
        const stream = fixture.cri.getContainerEvents();
        await stream.open;
        const stopped: string[] = [];
        const listening = (async () => {
          for await (const { containerId, containerEventType, containersStatuses } of stream) {
            if (containerEventType !== ContainerEventType.CONTAINER_STOPPED_EVENT) continue;
            stopped.push(containersStatuses.find(({ id }) => id === containerId)?.reason ?? 'the pod');
            if (stopped.length === rounds) return;
          }
        })();
        const ends = [];
        for (let attempt = 0; attempt < rounds; attempt++) {
          // The second half with the setting that the kubelet sends on version 2.
          const group =
            layout.version === 2 && attempt >= rounds / 2 ? { unified: { 'memory.oom.group': '1' } } : {};
          const linux = { resources: { ...limited.resources, ...group } };
          const id = await startContainer(fixture.cri, one, {
            image: fixture.image,
            metadata: { name: 'oom', attempt },
            command,
            linux,
          });
          const { reason, exitCode } = await exited(fixture.cri, id);
          ends.push(`${reason} ${exitCode}`);
        }
        assert.deepEqual(
          ends,
          Array.from({ length: rounds }, () => 'OOMKilled 137'),
        );
        await listening;
        stream.cancel();
        assert.deepEqual(
          stopped,
          Array.from({ length: rounds }, () => 'OOMKilled'),
          'one event for each',
        );
        await removePod(fixture.cri, one);
      });
    }

    test('[RES-01] a kill that was not for memory is an error, and a child that was killed for memory counts', async () => {
      const one = await pod();
      const image = fixture.image;
      const killed = await startContainer(fixture.cri, one, {
        image,
        command: ['sh', '-c', 'kill -9 $$; sleep 100'],
        linux: limited,
      });
      process.kill((await containerInfo(fixture.cri, killed)).pid, 'SIGKILL');
      const end = await exited(fixture.cri, killed);
      assert.deepEqual([end.reason, end.exitCode], ['Error', 137]);
      const script = `${oomCommands[0]!.at(-1)}; exit 3`;
      const parent = await startContainer(fixture.cri, one, {
        image,
        metadata: { name: 'child' },
        command: ['sh', '-c', script],
        linux: limited,
      });
      const survivor = await exited(fixture.cri, parent);
      assert.deepEqual([survivor.reason, survivor.exitCode], ['OOMKilled', 3]);
      await removePod(fixture.cri, one);
    });

    test('[RES-01] recognised too when it happens while the daemon is down', async () => {
      const one = await pod();
      const script = `sleep 2; ${oomCommands[0]!.at(-1)}`;
      const id = await startContainer(fixture.cri, one, {
        image: fixture.image,
        command: ['sh', '-c', `${script}; exit $?`],
        linux: limited,
      });
      const pid = (await containerInfo(fixture.cri, id)).pid;
      await fixture.server.kill();
      await eventually('its end', () => !existsSync(`/proc/${pid}`));
      await fixture.server.start();
      const { reason } = await exited(fixture.cri, id);
      assert.equal(reason, 'OOMKilled');
      await removePod(fixture.cri, one);
    });

    test('[RES-04] systemd that starts anew, forgets failures or stops a scope', {
      skip: driver === 'cgroupfs' && 'only the systemd driver has scopes',
      timeout: 120_000,
    }, async () => {
      const one = await pod();
      const id = await startContainer(fixture.cri, one, {
        image: fixture.image,
        linux: { resources: { cpuShares: 512n } },
      });
      for (const command of ['daemon-reexec', 'daemon-reload', 'reset-failed']) {
        await run(['systemctl', command]);
        assert.equal(await execText(fixture.cri, id, ['echo', 'lives']), 'lives\n', command);
        await fixture.cri.updateContainerResources({ containerId: id, linux: { cpuShares: 1024n } });
        const { stats } = await fixture.cri.containerStats({ containerId: id });
        assert.ok(stats!.memory!.usageBytes!.value > 0n);
      }
      const weight = () => readFileSync(`${cgroupDirs(layout, groupOf(one, id))[0]}/cpu.weight`, 'latin1');
      assert.equal(weight(), '39\n');
      await run(['systemctl', 'stop', `cri-amphipod-${id}.scope`]);
      const status = await exited(fixture.cri, id);
      assert.equal(status.state, ContainerState.CONTAINER_EXITED);
      assert.deepEqual([status.reason, status.exitCode], ['Completed', 0], 'it ends on SIGTERM');
      await removePod(fixture.cri, one);
      assert.deepEqual(groupsNaming(id), []);
    });

    function groupOf(one: Pod, id: string): string {
      return `${one.config.linux!.cgroupParent}/cri-amphipod-${id}.scope`;
    }
  });
}

/** Directories of cgroups, in any hierarchy, with this in their name. */
function groupsNaming(text: string): string[] {
  const found = new Set(layout.mounts.values());
  for (const dir of found) for (const name of childrenOf(dir)) found.add(`${dir}/${name}`);
  return [...found].filter((dir) => dir.slice(dir.lastIndexOf('/')).includes(text));
}

/** Others on this machine make and remove groups meanwhile. */
function childrenOf(dir: string): string[] {
  try {
    return readdirSync(dir, { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? [entry.name] : [],
    );
  } catch (error) {
    if (isCode(error, 'ENOENT', 'ENODEV')) return [];
    throw error;
  }
}
