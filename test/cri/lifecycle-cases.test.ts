import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { describe, test } from 'node:test';
import { cgroupPids, findProcess } from '@amphipod/linux';
import { ContainerState, type Signal } from '../../packages/runtime/src/gen/api.ts';
import { loadVariant, useServer } from './support/fixture.ts';
import { assertLeft, leftovers } from './support/leftovers.ts';
import {
  allCgroups,
  containerInfo,
  createContainer,
  execText,
  exited,
  killMonitor,
  kubeletNamespaces,
  NamespaceMode,
  type Pod,
  removePod,
  runPod,
  startContainer,
  withPod,
} from './support/pods.ts';
import { grpcCode, refuses } from './support/refuses.ts';
import { idleCommand } from './support/test-images.ts';
import { eventually } from './support/wait.ts';

describe('field cases of a container’s life', () => {
  const fixture = useServer('amphipod');
  /** Also checks that nothing of the pod is left. */
  const withWholePod = async (
    work: (pod: Pod) => Promise<void>,
    given: Parameters<typeof runPod>[1] = {},
  ) => {
    const nothing = await leftovers(fixture.server);
    await withPod(fixture.cri, given, work);
    await assertLeft(fixture.server, nothing);
  };
  const shell = (id: string, script: string) => execText(fixture.cri, id, ['sh', '-c', script]);
  const ready = (id: string) => shell(id, 'until [ -e /ready ]; do usleep 10000; done');
  /** Ignores TERM, but counts it. */
  const stubborn = {
    command: ['sh', '-c', 'trap "echo TERM >> /terms" TERM; touch /ready; while :; do sleep 0.05; done'],
  };

  for (const [stopSignal, number] of [
    ['SIGRTMIN+3', 37],
    ['SIGRTMAX-1', 63],
    ['37', 37],
    ['INT', 2],
    ['SIGFOO', 15],
    ['99', 15],
  ] as const) {
    test(`an image’s StopSignal ${stopSignal} delivers ${number} (LIF-01)`, async () => {
      const name = `stop-${stopSignal.toLowerCase().replace('+', '-')}`;
      const config = { StopSignal: stopSignal, Cmd: ['sh'] };
      const image = await loadVariant(fixture, name, { config });
      await withWholePod(async (pod) => {
        const traps = [2, 15, 37, 63].map((each) => `trap "exit ${each}" ${each}`).join('; ');
        const command = ['sh', '-c', `${traps}; touch /ready; while :; do sleep 0.05; done`];
        const containerId = await startContainer(fixture.cri, pod, { image, command });
        await ready(containerId);
        await fixture.cri.stopContainer({ containerId, timeout: 10 });
        assert.equal((await exited(fixture.cri, containerId)).exitCode, number);
      });
    });
  }

  test('stop_signal: a value that CRI does not have is refused (LIF-01)', async () => {
    await withWholePod(async (pod) => {
      const call = createContainer(fixture.cri, pod, { image: fixture.image, stopSignal: 999 as Signal });
      await refuses(call, grpcCode.INVALID_ARGUMENT, /stop_signal 999: unknown/);
    });
  });

  test('a second, shorter stop shortens the first; TERM comes once (LIF-02)', async () => {
    await withWholePod(async (pod) => {
      const containerId = await startContainer(fixture.cri, pod, { image: fixture.image, ...stubborn });
      await ready(containerId);
      const stop = (timeout: number) => fixture.cri.stopContainer({ containerId, timeout });
      const long = [300, 200, 250].map(stop);
      await eventually('TERM', async () => (await shell(containerId, 'cat /terms')).startsWith('TERM'));
      assert.equal(await shell(containerId, 'sleep 0.3; grep -c TERM /terms'), '1\n');
      await stop(0);
      assert.equal((await exited(fixture.cri, containerId, 1000)).exitCode, 137);
      await Promise.all(long);
    });
  });

  test('the client of a stop goes away: no KILL, and a later stop works (LIF-03)', async () => {
    await withWholePod(async (pod) => {
      const containerId = await startContainer(fixture.cri, pod, { image: fixture.image, ...stubborn });
      await ready(containerId);
      const call = fixture.cri.stopContainer({ containerId, timeout: 300 }, { timeoutMs: 300 });
      await refuses(call, grpcCode.DEADLINE_EXCEEDED, /./);
      assert.equal(await shell(containerId, 'sleep 0.5; echo lives'), 'lives\n');
      await fixture.cri.stopContainer({ containerId, timeout: 0 });
      assert.equal((await exited(fixture.cri, containerId)).exitCode, 137);
    });
  });

  for (const stopFirst of [true, false]) {
    test(`its monitor is killed: ${stopFirst ? 'stop and remove' : 'the end of the pod'} works (LIF-08)`, async () => {
      const securityContext = { namespaceOptions: kubeletNamespaces({ pid: NamespaceMode.POD }) };
      await withWholePod(
        async (pod) => {
          const linux = { securityContext };
          const containerId = await startContainer(fixture.cri, pod, { image: fixture.image, linux });
          const { pid, cgroupPath } = await containerInfo(fixture.cri, containerId);
          assert.ok(findProcess(pid));
          await killMonitor(fixture.cri, containerId);
          const { status } = await fixture.cri.containerStatus({ containerId });
          assert.equal(status?.state, ContainerState.CONTAINER_RUNNING);
          if (stopFirst) {
            await fixture.cri.stopContainer({ containerId, timeout: 1 });
            const ended = await exited(fixture.cri, containerId);
            assert.deepEqual([ended.exitCode, ended.reason], [255, 'Unknown']);
            await fixture.cri.removeContainer({ containerId });
          } else {
            await fixture.cri.stopPodSandbox({ podSandboxId: pod.id });
          }
          assert.deepEqual(cgroupPids(allCgroups(), cgroupPath), []);
          assert.equal(findProcess(pid), undefined);
        },
        { linux: { securityContext } },
      );
    });
  }

  test('its monitor and the daemon are killed: the next daemon stops and removes it (LIF-08)', async () => {
    await withWholePod(async (pod) => {
      const containerId = await startContainer(fixture.cri, pod, { image: fixture.image });
      await killMonitor(fixture.cri, containerId);
      await fixture.server.kill();
      await fixture.server.start();
      await fixture.cri.stopContainer({ containerId, timeout: 1 });
      assert.equal((await exited(fixture.cri, containerId)).exitCode, 255);
    });
  });

  for (const pid of ['POD', 'NODE'] as const) {
    test(`PID namespace ${pid}: all of a container ends with it, nothing of another (LIF-09)`, async () => {
      const securityContext = { namespaceOptions: kubeletNamespaces({ pid: NamespaceMode[pid] }) };
      await withWholePod(
        async (pod) => {
          const start = (name: string, command: string[]) =>
            startContainer(fixture.cri, pod, {
              image: fixture.image,
              metadata: { name },
              command,
              linux: { securityContext },
            });
          const stays = await start('stays', idleCommand);
          const stopped = await start('stopped', ['sh', '-c', 'sleep 9999 & sleep 9999']);
          const ends = await start('ends', ['sh', '-c', 'sleep 9998 & exit 0']);
          const groups = await Promise.all(
            [stopped, ends].map(async (id) => (await containerInfo(fixture.cri, id)).cgroupPath),
          );
          const pids = cgroupPids(allCgroups(), groups[0]!);
          assert.ok(pids.length > 1, 'it has children');
          await exited(fixture.cri, ends);
          await fixture.cri.stopContainer({ containerId: stopped, timeout: 1 });
          await eventually('an empty cgroup', () =>
            groups.every((path) => cgroupPids(allCgroups(), path).length === 0),
          );
          assert.equal(await shell(stays, 'echo lives'), 'lives\n');
          await eventually('no zombies', () => !pids.some((each) => existsSync(`/proc/${each}`)));
        },
        { linux: { securityContext } },
      );
    });
  }

  test('host names: 64 bytes are one, 65 are refused, none is the node’s (LIF-12)', async () => {
    const long = 'h'.repeat(64);
    for (const name of ['h'.repeat(63), long, 'a..b']) {
      await withWholePod(
        async (pod) => {
          const id = await startContainer(fixture.cri, pod, { image: fixture.image });
          assert.equal(await shell(id, 'hostname; cat /etc/hostname; echo $HOSTNAME'), `${name}\n`.repeat(3));
        },
        { hostname: name },
      );
    }
    const nothing = await leftovers(fixture.server);
    for (const name of [`${long}h`, 'x'.repeat(200)]) {
      const call = runPod(fixture.cri, { hostname: name });
      await refuses(
        call,
        grpcCode.INVALID_ARGUMENT,
        /config\.hostname "[hx]+": has \d+ bytes, the kernel takes 64/,
      );
    }
    await assertLeft(fixture.server, nothing);
    const securityContext = { namespaceOptions: kubeletNamespaces({ network: NamespaceMode.NODE }) };
    await withWholePod(
      async (pod) => {
        const id = await startContainer(fixture.cri, pod, { image: fixture.image });
        assert.equal(
          await shell(id, 'hostname; cat /etc/hostname; echo $HOSTNAME'),
          `${hostname()}\n`.repeat(3),
        );
      },
      { hostname: '', linux: { securityContext } },
    );
  });

  test('PID namespace TARGET: the one of another container of the pod', async () => {
    await withWholePod(async (pod) => {
      const target = await startContainer(fixture.cri, pod, {
        image: fixture.image,
        command: ['httpd', '-f', '-p', '8080'],
      });
      const debug = (name: string, targetId: string, more: object = {}) => ({
        image: fixture.image,
        metadata: { name },
        linux: {
          securityContext: {
            namespaceOptions: { ...kubeletNamespaces({ pid: NamespaceMode.TARGET }), targetId },
            ...more,
          },
        },
      });
      const id = await startContainer(fixture.cri, pod, debug('debug', target));
      assert.match(await shell(id, 'cat /proc/1/cmdline'), /^httpd\0/);
      await fixture.cri.stopContainer({ containerId: id, timeout: 1 });
      assert.equal(await shell(target, 'echo lives'), 'lives\n');

      const refused = (
        name: string,
        targetId: string,
        text: RegExp,
        code: number = grpcCode.INVALID_ARGUMENT,
      ) => refuses(createContainer(fixture.cri, pod, debug(name, targetId)), code, text);
      await refused('none', '', /target_id "": pid TARGET needs one/);
      await refused('unknown', 'f'.repeat(64), /no container of this pod/);
      await refused('ended', id, /does not run/, grpcCode.FAILED_PRECONDITION);
      const other = await runPod(fixture.cri);
      const elsewhere = await startContainer(fixture.cri, other, { image: fixture.image });
      await refused('elsewhere', elsewhere, /no container of this pod/);
      await removePod(fixture.cri, other);
    });
  });
});
