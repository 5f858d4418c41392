import assert from 'node:assert/strict';
import { readlinkSync } from 'node:fs';
import { describe, test } from 'node:test';
import { subjects, useServer } from './support/fixture.ts';
import {
  execText,
  kubeletNamespaces,
  NamespaceMode,
  removePod,
  runPod,
  sandboxConfig,
  startContainer,
} from './support/pods.ts';
import { idleCommand } from './support/test-images.ts';

for (const subject of subjects) {
  describe(`namespaces of a pod with ${subject}`, () => {
    const fixture = useServer(subject);
    /** A pod with two containers, a and b, both with the same namespace options. */
    const twoContainers = async (changes: Parameters<typeof kubeletNamespaces>[0]) => {
      const securityContext = { namespaceOptions: kubeletNamespaces(changes) };
      const pod = await runPod(fixture.cri, { linux: { securityContext } });
      const start = (name: string, command: string[]) =>
        startContainer(fixture.cri, pod, {
          image: fixture.image,
          metadata: { name },
          command,
          linux: { securityContext },
        });
      const a = await start('a', idleCommand);
      const b = await start('b', ['httpd', '-f', '-p', '8080']);
      return { pod, a, b };
    };
    const shell = (id: string, script: string) => execText(fixture.cri, id, ['sh', '-c', script]);
    const namespace = async (id: string, kind: string) =>
      (await shell(id, `readlink /proc/self/ns/${kind}`)).trim();
    const ofHost = (kind: string) => readlinkSync(`/proc/self/ns/${kind}`);

    test('pid CONTAINER: each container has its own, its command is PID 1', async () => {
      const { pod, a, b } = await twoContainers({ pid: NamespaceMode.CONTAINER });
      assert.match(await shell(b, 'cat /proc/1/cmdline'), /^httpd\0/);
      assert.match(await shell(a, 'pidof httpd'), /^exit 1$/m);
      assert.notEqual(await namespace(a, 'pid'), await namespace(b, 'pid'));
      await removePod(fixture.cri, pod);
    });

    test('pid POD: one for the pod, whose PID 1 is no container’s command', async () => {
      const { pod, a, b } = await twoContainers({ pid: NamespaceMode.POD });
      assert.equal(await namespace(a, 'pid'), await namespace(b, 'pid'));
      assert.notEqual(await namespace(a, 'pid'), ofHost('pid'));
      assert.match(await shell(a, 'pidof httpd'), /^\d+\n$/);
      assert.doesNotMatch(await shell(b, 'cat /proc/1/cmdline'), /httpd|sleep/);
      await removePod(fixture.cri, pod);
    });

    test('pid POD reaps orphans', async () => {
      const { pod, a } = await twoContainers({ pid: NamespaceMode.POD });
      // The outer shell ends first, so that its child is left to PID 1.
      await shell(a, 'sh -c "sleep 0.1 &"; sleep 0.5');
      assert.equal(await shell(a, 'grep -l "^State:.*Z" /proc/[0-9]*/status || true'), '');
      await removePod(fixture.cri, pod);
    });

    test('an absent message means pid POD', async () => {
      const pod = await runPod(fixture.cri, { linux: { securityContext: { namespaceOptions: undefined } } });
      const given = { image: fixture.image, linux: { securityContext: { namespaceOptions: undefined } } };
      const a = await startContainer(fixture.cri, pod, { ...given, metadata: { name: 'a' } });
      const b = await startContainer(fixture.cri, pod, { ...given, metadata: { name: 'b' } });
      assert.equal(await namespace(a, 'pid'), await namespace(b, 'pid'));
      await removePod(fixture.cri, pod);
    });

    test('pid NODE: the host’s', async () => {
      const { pod, a } = await twoContainers({ pid: NamespaceMode.NODE });
      assert.equal(await namespace(a, 'pid'), ofHost('pid'));
      assert.match(await shell(a, `cat /proc/${process.pid}/cmdline`), /node/);
      await removePod(fixture.cri, pod);
    });

    test('ipc POD and NODE', async () => {
      const own = await twoContainers({ ipc: NamespaceMode.POD });
      assert.equal(await namespace(own.a, 'ipc'), await namespace(own.b, 'ipc'));
      assert.notEqual(await namespace(own.a, 'ipc'), ofHost('ipc'));
      await removePod(fixture.cri, own.pod);
      const shared = await twoContainers({ ipc: NamespaceMode.NODE });
      assert.equal(await namespace(shared.a, 'ipc'), ofHost('ipc'));
      await removePod(fixture.cri, shared.pod);
    });

    test('network, UTS and mount namespaces are the pod’s and the container’s', async () => {
      const { pod, a, b } = await twoContainers({});
      for (const kind of ['net', 'uts']) {
        assert.equal(await namespace(a, kind), await namespace(b, kind), kind);
        assert.notEqual(await namespace(a, kind), ofHost(kind), kind);
      }
      assert.notEqual(await namespace(a, 'mnt'), await namespace(b, 'mnt'));
      await removePod(fixture.cri, pod);
    });

    test('the status echoes the namespace options', async () => {
      for (const pid of [NamespaceMode.POD, NamespaceMode.CONTAINER, NamespaceMode.NODE]) {
        const options = kubeletNamespaces({ pid });
        const pod = await runPod(fixture.cri, { linux: { securityContext: { namespaceOptions: options } } });
        const { status } = await fixture.cri.podSandboxStatus({ podSandboxId: pod.id });
        const { network, pid: shown, ipc } = status!.linux!.namespaces!.options!;
        assert.deepEqual({ network, pid: shown, ipc }, options);
        await removePod(fixture.cri, pod);
      }
    });

    test('an unknown runtime handler is refused and leaves no pod', async () => {
      const config = sandboxConfig();
      await assert.rejects(
        fixture.cri.runPodSandbox({ config, runtimeHandler: 'no-such-handler' }),
        /no-such-handler|no runtime/,
      );
      assert.deepEqual((await fixture.cri.listPodSandbox()).items, []);
    });
  });
}
