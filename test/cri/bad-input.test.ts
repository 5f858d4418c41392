import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { describe, test } from 'node:test';
import { MountPropagation, SecurityProfile_ProfileType } from '../../packages/runtime/src/gen/api.ts';
import type { Cri } from './support/client.ts';
import { useServer } from './support/fixture.ts';
import { assertLeft, leftovers } from './support/leftovers.ts';
import {
  createContainer,
  exited,
  kubeletNamespaces,
  NamespaceMode,
  type Pod,
  removePod,
  runPod,
  sandboxConfig,
  startContainer,
  withPod,
} from './support/pods.ts';
import { grpcCode, refuses } from './support/refuses.ts';

type Given = Omit<Parameters<typeof createContainer>[2], 'image'>;

const unknownId = 'f'.repeat(64);

describe('requests that are wrong get the documented error and leave nothing', () => {
  const fixture = useServer('amphipod');
  const create = (pod: Pod, given: Given = {}) =>
    createContainer(fixture.cri, pod, { image: fixture.image, ...given });

  const badContainers: { name: string; given: Given; code: number; text: RegExp }[] = [
    {
      name: 'a mount source that does not exist',
      given: { mounts: [{ hostPath: '/no/such/source', containerPath: '/data' }] },
      code: grpcCode.INVALID_ARGUMENT,
      text: /^mount 0 \("\/data"\): host_path "\/no\/such\/source" does not exist$/,
    },
    {
      name: 'a relative mount target',
      given: { mounts: [{ hostPath: '/tmp', containerPath: 'data' }] },
      code: grpcCode.INVALID_ARGUMENT,
      text: /container_path must be absolute/,
    },
    {
      name: 'recursive read-only without read-only',
      given: { mounts: [{ hostPath: '/tmp', containerPath: '/data', recursiveReadOnly: true }] },
      code: grpcCode.INVALID_ARGUMENT,
      text: /recursive_read_only needs readonly/,
    },
    {
      name: 'recursive read-only with propagation',
      given: {
        mounts: [
          {
            ...{ hostPath: '/tmp', containerPath: '/data', recursiveReadOnly: true, readonly: true },
            propagation: MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
          },
        ],
      },
      code: grpcCode.INVALID_ARGUMENT,
      text: /recursive_read_only needs private propagation/,
    },
    {
      name: 'an unknown capability',
      given: { linux: { securityContext: { capabilities: { addCapabilities: ['NET_FOO'] } } } },
      code: grpcCode.INVALID_ARGUMENT,
      text: /capability "NET_FOO": unknown/,
    },
    {
      name: 'a user the image does not know',
      given: { linux: { securityContext: { runAsUsername: 'ghost' } } },
      code: grpcCode.INVALID_ARGUMENT,
      text: /find user "ghost": not in the image's \/etc\/passwd/,
    },
    {
      name: 'a seccomp profile that is not there',
      given: {
        linux: {
          securityContext: {
            seccomp: {
              profileType: SecurityProfile_ProfileType.Localhost,
              localhostRef: '/no/such/profile.json',
            },
          },
        },
      },
      code: grpcCode.FAILED_PRECONDITION,
      text: /read seccomp profile "\/no\/such\/profile\.json": .*ENOENT/,
    },
    {
      name: 'a device that does not exist',
      given: { devices: [{ hostPath: '/dev/no-such', containerPath: '/dev/x', permissions: 'rw' }] },
      code: grpcCode.INVALID_ARGUMENT,
      text: /device "\/dev\/no-such": does not exist/,
    },
  ];
  for (const { name, given, code, text } of badContainers) {
    test(`CreateContainer: ${name}`, async () => {
      const nothing = await leftovers(fixture.server);
      await withPod(fixture.cri, {}, async (pod) => {
        const before = await leftovers(fixture.server);
        await refuses(create(pod, given), code, text);
        await assertLeft(fixture.server, before);
        assert.deepEqual((await fixture.cri.listContainers()).containers, []);
      });
      await assertLeft(fixture.server, nothing);
    });
  }

  test('CreateContainer: no metadata, no image, unknown image, stopped pod', async () => {
    await withPod(fixture.cri, {}, async (pod) => {
      const call = (config: object) =>
        fixture.cri.createContainer({ podSandboxId: pod.id, config, sandboxConfig: pod.config });
      const image = { image: fixture.image.id };
      await refuses(call({ image }), grpcCode.INVALID_ARGUMENT, /config\.metadata: missing/);
      await refuses(
        call({ metadata: { name: '' }, image }),
        grpcCode.INVALID_ARGUMENT,
        /config\.metadata\.name: empty/,
      );
      await refuses(
        call({ metadata: { name: 'c' } }),
        grpcCode.INVALID_ARGUMENT,
        /config\.image\.image: missing/,
      );
      await refuses(
        call({ metadata: { name: 'c' }, image: { image: 'localhost/nothing:v9' } }),
        grpcCode.NOT_FOUND,
        /find image "localhost\/nothing:v9": not here/,
      );
      await fixture.cri.stopPodSandbox({ podSandboxId: pod.id });
      await refuses(create(pod), grpcCode.FAILED_PRECONDITION, new RegExp(`sandbox ${pod.id} is not ready`));
    });
  });

  test('StartContainer: a command that does not exist, or may not be executed', async () => {
    await withPod(fixture.cri, {}, async (pod) => {
      for (const [name, command] of Object.entries({
        missing: '/no/such/command',
        bare: 'no-such-command',
        data: '/etc/passwd',
        directory: '/etc',
      })) {
        const containerId = await create(pod, { metadata: { name }, command: [command] });
        const running = fixture.cri.startContainer({ containerId });
        await refuses(
          running,
          grpcCode.FAILED_PRECONDITION,
          new RegExp(`${command}|permission denied|directory`),
        );
        const { status } = await fixture.cri.containerStatus({ containerId });
        assert.deepEqual([status?.exitCode, status?.reason], [128, 'StartError'], command);
        assert.ok(status!.message.length > 0 && status!.finishedAt > 0n);
      }
    });
  });

  test('StartContainer: twice, and after its end', async () => {
    await withPod(fixture.cri, {}, async (pod) => {
      const containerId = await startContainer(fixture.cri, pod, {
        image: fixture.image,
        command: ['sleep', '0.5'],
      });
      await refuses(
        fixture.cri.startContainer({ containerId }),
        grpcCode.FAILED_PRECONDITION,
        /is running, not created/,
      );
      await exited(fixture.cri, containerId);
      await refuses(
        fixture.cri.startContainer({ containerId }),
        grpcCode.FAILED_PRECONDITION,
        /is exited, not created/,
      );
      const exec = fixture.cri.execSync({ containerId, cmd: ['true'], timeout: 1 });
      await refuses(exec, grpcCode.FAILED_PRECONDITION, /not running|is exited/);
    });
  });

  test('names that are taken', async () => {
    await withPod(fixture.cri, {}, async (pod) => {
      const taken = new RegExp(`reserve sandbox name ".*": taken by ${pod.id}`);
      await refuses(fixture.cri.runPodSandbox({ config: pod.config }), grpcCode.ALREADY_EXISTS, taken);
      const id = await create(pod, { metadata: { name: 'same', attempt: 3 } });
      const again = create(pod, { metadata: { name: 'same', attempt: 3 } });
      await refuses(
        again,
        grpcCode.ALREADY_EXISTS,
        new RegExp(`reserve container name ".*": taken by ${id}`),
      );
      await create(pod, { metadata: { name: 'same', attempt: 4 } });
    });
  });

  test('the same pod asked for eight times at once: one is made, the others say since when', async () => {
    const config = sandboxConfig();
    const answers = await Promise.allSettled(
      Array.from({ length: 8 }, () => fixture.cri.runPodSandbox({ config })),
    );
    const made = answers.filter((answer) => answer.status === 'fulfilled');
    assert.equal(made.length, 1);
    for (const answer of answers) {
      if (answer.status !== 'rejected') continue;
      assert.ok(
        [grpcCode.ABORTED, grpcCode.ALREADY_EXISTS].includes(answer.reason.code),
        String(answer.reason),
      );
    }
    await removePod(fixture.cri, { id: made[0]!.value.podSandboxId, config });
  });

  const unknown: Record<string, (cri: Cri) => Promise<unknown>> = {
    PodSandboxStatus: (cri) => cri.podSandboxStatus({ podSandboxId: unknownId }),
    CreateContainer: (cri) =>
      cri.createContainer({ podSandboxId: unknownId, config: { metadata: { name: 'c' } } }),
    ContainerStatus: (cri) => cri.containerStatus({ containerId: unknownId }),
    StartContainer: (cri) => cri.startContainer({ containerId: unknownId }),
    ExecSync: (cri) => cri.execSync({ containerId: unknownId, cmd: ['true'] }),
    ReopenContainerLog: (cri) => cri.reopenContainerLog({ containerId: unknownId }),
  };
  for (const [name, call] of Object.entries(unknown)) {
    test(`${name}: an unknown id`, async () => {
      await refuses(call(fixture.cri), grpcCode.NOT_FOUND, new RegExp(unknownId));
    });
  }

  test('an unknown id is fine where the API says so', async () => {
    await fixture.cri.stopContainer({ containerId: unknownId, timeout: 0 });
    await fixture.cri.removeContainer({ containerId: unknownId });
    await fixture.cri.stopPodSandbox({ podSandboxId: unknownId });
    await fixture.cri.removePodSandbox({ podSandboxId: unknownId });
    assert.equal(
      (await fixture.cri.imageStatus({ image: { image: 'localhost/nothing:v9' } })).image,
      undefined,
    );
  });

  test('RunPodSandbox: no metadata, an unknown handler, a sysctl of the node', async () => {
    mkdirSync(`${fixture.dir}/logs`, { recursive: true });
    const nothing = await leftovers(fixture.server);
    await refuses(fixture.cri.runPodSandbox({}), grpcCode.INVALID_ARGUMENT, /config/);
    const config = sandboxConfig();
    const handler = fixture.cri.runPodSandbox({ config, runtimeHandler: 'kata' });
    await refuses(handler, grpcCode.INVALID_ARGUMENT, /runtime handler "kata": unknown; known are .*"runc"/);
    const sysctl = runPod(fixture.cri, { linux: { sysctls: { 'kernel.pid_max': '100' } } });
    await refuses(
      sysctl,
      grpcCode.INVALID_ARGUMENT,
      /sysctl "kernel\.pid_max": not in a namespace of the pod/,
    );
    const value = runPod(fixture.cri, { linux: { sysctls: { 'net.ipv4.ip_forward': 'maybe' } } });
    await refuses(value, grpcCode.INVALID_ARGUMENT, /set sysctl "net\.ipv4\.ip_forward" to "maybe"/);
    const hostNetwork = { namespaceOptions: kubeletNamespaces({ network: NamespaceMode.NODE }) };
    const hostSysctl = { linux: { securityContext: hostNetwork, sysctls: { 'net.ipv4.ip_forward': '1' } } };
    await refuses(runPod(fixture.cri, hostSysctl), grpcCode.INVALID_ARGUMENT, /network node/);
    assert.deepEqual((await fixture.cri.listPodSandbox()).items, []);
    await assertLeft(fixture.server, nothing);
  });
});
