import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import { mount, unmount } from '@amphipod/linux';
import { loadVariant, useServer } from './support/fixture.ts';
import { assertLeft, leftovers } from './support/leftovers.ts';
import {
  containerInfo,
  createContainer,
  execText,
  kubeletNamespaces,
  NamespaceMode,
  type Pod,
  removePod,
  runPod,
  startContainer,
} from './support/pods.ts';
import { grpcCode, refuses } from './support/refuses.ts';
import type { TestImage } from './support/test-images.ts';

const hostId = 200_000;
const mapping = { hostId, containerId: 0, length: 65_536 };
type Usernsoptions = { mode?: NamespaceMode; uids?: object[]; gids?: object[] };
const podMode: Usernsoptions = { mode: NamespaceMode.POD, uids: [mapping], gids: [mapping] };

describe('a pod with a user namespace', () => {
  const fixture = useServer('amphipod');
  // The users of the namespace are others on this machine: they must get through to the root file systems.
  before(() => chmodSync(fixture.dir, 0o711));
  const security = (
    usernsOptions: Usernsoptions = podMode,
    more: Parameters<typeof kubeletNamespaces>[0] = {},
  ) => ({
    namespaceOptions: { ...kubeletNamespaces(more), usernsOptions },
  });
  const run = (usernsOptions = podMode, more: Parameters<typeof kubeletNamespaces>[0] = {}) =>
    runPod(fixture.cri, { linux: { securityContext: security(usernsOptions, more) } });
  type Given = Omit<Parameters<typeof createContainer>[2], 'image'> & { image?: TestImage };
  const container = (given: Given) => ({
    image: fixture.image,
    ...given,
    linux: { securityContext: { ...security(), ...given.linux?.securityContext } },
  });
  const start = (pod: Pod, given: Given = {}) => startContainer(fixture.cri, pod, container(given));
  const shell = (id: string, script: string) => execText(fixture.cri, id, ['sh', '-c', script]);
  const dirOf = (name: string) => {
    const dir = `${fixture.dir}/${name}`;
    mkdirSync(dir);
    return dir;
  };

  test('root inside, nobody outside; network, host name and files are its own', async () => {
    const nothing = await leftovers(fixture.server);
    const pod = await run();
    const id = await start(pod);
    assert.match(await shell(id, 'cat /proc/self/uid_map'), /^\s*0\s+200000\s+65536\n$/);
    assert.equal(
      await shell(id, 'id -u; stat -c "%u:%g" / /bin/busybox /etc/resolv.conf'),
      '0\n0:0\n0:0\n0:0\n',
    );
    assert.equal(await shell(id, 'touch /made && stat -c %u /made; hostname'), '0\ntest-pod\n');
    assert.match(await shell(id, 'ip -o link show lo'), /LOOPBACK,UP/);
    assert.match(await shell(id, 'ip -o -4 addr show eth0'), /inet /);
    assert.equal(
      await shell(id, 'hostname other 2>&1; echo x > /dev/shm/x; stat -c %u /dev/shm'),
      'hostname: sethostname: Operation not permitted\n0\n',
    );
    const { status } = await fixture.cri.containerStatus({ containerId: id });
    assert.equal(status?.user?.linux?.uid, 0n);
    const { pid } = await containerInfo(fixture.cri, id);
    assert.equal(statSync(`/proc/${pid}`).uid, hostId);
    const echoed = (await fixture.cri.podSandboxStatus({ podSandboxId: pod.id })).status!.linux!.namespaces!;
    assert.deepEqual(echoed.options!.usernsOptions, podMode);
    await removePod(fixture.cri, pod);
    await assertLeft(fixture.server, nothing);
  });

  test('users by number, and the pod’s shared PID namespace', async () => {
    const pod = await run(podMode, { pid: NamespaceMode.POD });
    const namespaceOptions = security(podMode, { pid: NamespaceMode.POD }).namespaceOptions;
    const given = (name: string) => ({
      metadata: { name },
      linux: { securityContext: { namespaceOptions, runAsUser: { value: 1000n } } },
    });
    const [a, b] = [await start(pod, given('a')), await start(pod, given('b'))];
    assert.equal(await shell(a, 'id -u; id -G'), '1000\n1001 50000\n');
    assert.equal(await shell(a, 'readlink /proc/self/ns/pid'), await shell(b, 'readlink /proc/self/ns/pid'));
    assert.equal(
      await shell(a, 'readlink /proc/self/ns/user'),
      await shell(b, 'readlink /proc/self/ns/user'),
    );
    await removePod(fixture.cri, pod);
  });

  test('the kubelet’s mounts: written with the host’s ids, the host’s owners stay (VOL-07)', async () => {
    const dir = dirOf('mapped');
    mkdirSync(`${dir}/inner`);
    mount(`${dir}/inner`, { source: 'inner', type: 'tmpfs' });
    writeFileSync(`${dir}/of-root`, 'root\n');
    writeFileSync(`${dir}/inner/of-seven`, 'seven\n');
    chownSync(`${dir}/inner/of-seven`, 7, 7);
    const owners = () =>
      readdirSync(dir, { recursive: true }).map((path) => {
        const { uid, gid, mode } = statSync(`${dir}/${path}`);
        return `${path} ${uid}:${gid} ${mode}`;
      });
    const before = owners();
    const maps = { uidMappings: [mapping], gidMappings: [mapping] };
    const mounts = [
      { hostPath: dir, containerPath: '/mapped', ...maps },
      { hostPath: `${dir}/inner`, containerPath: '/mapped/inner', ...maps },
      { hostPath: `${dir}/of-root`, containerPath: '/file', readonly: true, ...maps },
    ];
    const pod = await run();
    const id = await start(pod, { mounts });
    assert.deepEqual(owners(), before);
    const script = 'stat -c "%n %u" /mapped/of-root /mapped/inner/of-seven /file; cat /file; touch /file';
    assert.equal(
      await shell(id, script),
      '/mapped/of-root 0\n/mapped/inner/of-seven 7\n/file 0\nroot\ntouch: /file: Read-only file system\nexit 1\n',
    );
    await shell(id, 'touch /mapped/new /mapped/inner/new; chown 5:5 /mapped/new');
    assert.deepEqual(
      ['new', 'inner/new'].map((name) => statSync(`${dir}/${name}`).uid),
      [5, 0],
    );
    // Nothing of ours keeps the volume busy.
    await fixture.cri.stopContainer({ containerId: id, timeout: 0 });
    unmount(`${dir}/inner`);
    await removePod(fixture.cri, pod);
  });

  test('a file system without id-mapped mounts is told of at create', async () => {
    const maps = { uidMappings: [mapping], gidMappings: [mapping] };
    const pod = await run();
    const mounts = [{ hostPath: '/proc/sys', containerPath: '/x', ...maps }];
    await refuses(
      createContainer(fixture.cri, pod, container({ mounts })),
      grpcCode.INVALID_ARGUMENT,
      /mount 0 \("\/x"\): host_path "\/proc\/sys" cannot be id-mapped: .*EINVAL/,
    );
    const other = { ...mapping, hostId: 300_000 };
    const wrong = [
      { hostPath: fixture.dir, containerPath: '/x', uidMappings: [other], gidMappings: [other] },
    ];
    await refuses(
      createContainer(fixture.cri, pod, container({ mounts: wrong })),
      grpcCode.INVALID_ARGUMENT,
      /uidMappings must be those of the pod/,
    );
    await removePod(fixture.cri, pod);
    const plain = await runPod(fixture.cri);
    const mapped = [{ hostPath: fixture.dir, containerPath: '/x', ...maps }];
    await refuses(
      createContainer(fixture.cri, plain, { image: fixture.image, mounts: mapped }),
      grpcCode.INVALID_ARGUMENT,
      /id mappings need a pod with a user namespace/,
    );
    await removePod(fixture.cri, plain);
  });

  test('VOLUME with content, and a mount below it through a link (VOL-04)', async () => {
    const image = await loadVariant(fixture, 'run-volume', {
      config: { Cmd: ['sh'], Volumes: { '/run': {} } },
      extra: [
        { path: 'run', type: 'directory', mode: 0o755 },
        { path: 'run/f', data: 'x', uid: 7, gid: 7 },
        { path: 'var/run', type: 'symlink', linkPath: '/run' },
      ],
    });
    const hostPath = dirOf('account');
    writeFileSync(`${hostPath}/token`, 'token\n');
    const pod = await run();
    const id = await start(pod, { image, mounts: [{ hostPath, containerPath: '/var/run/secrets/x' }] });
    assert.equal(
      await shell(id, 'stat -c "%u:%g" /run /run/f; cat /run/secrets/x/token; touch /run/new && echo ok'),
      '0:0\n7:7\ntoken\nok\n',
    );
    await removePod(fixture.cri, pod);
  });

  test('a volume of an image, and sysctls', async () => {
    const pod = await runPod(fixture.cri, {
      linux: {
        securityContext: security(),
        sysctls: { 'net.ipv4.ip_unprivileged_port_start': '70', 'kernel.shm_rmid_forced': '1' },
      },
    });
    const id = await start(pod, {
      mounts: [
        { containerPath: '/v', image: { image: fixture.image.id }, readonly: true, imageSubPath: 'etc' },
      ],
    });
    assert.equal(await shell(id, 'stat -c %u /v/passwd'), '0\n');
    const keys = 'cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced';
    assert.equal(await shell(id, keys), '70\n1\n');
    await removePod(fixture.cri, pod);
  });

  test('lives over a restart of the daemon', async () => {
    const pod = await run();
    const id = await start(pod);
    await fixture.server.kill();
    await fixture.server.start();
    assert.match(await shell(id, 'cat /proc/self/uid_map'), /200000/);
    const second = await start(pod, { metadata: { name: 'second' } });
    assert.match(await shell(second, 'cat /proc/self/uid_map'), /200000/);
    await removePod(fixture.cri, pod);
  });

  test('Status says so, and NODE is the node’s', async () => {
    const { runtimeHandlers } = await fixture.cri.status({});
    assert.equal(runtimeHandlers.find(({ name }) => name === '')?.features?.userNamespaces, true);
    const node = { mode: NamespaceMode.NODE };
    const pod = await run(node);
    const securityContext = security(node);
    const id = await startContainer(fixture.cri, pod, { image: fixture.image, linux: { securityContext } });
    assert.match(await shell(id, 'cat /proc/self/uid_map'), /^\s*0\s+0\s/);
    await removePod(fixture.cri, pod);
  });

  test('a state directory that its users cannot reach is told of', async () => {
    chmodSync(fixture.dir, 0o700);
    try {
      await refuses(
        run(),
        grpcCode.FAILED_PRECONDITION,
        /cannot get through "\/var\/tmp\/amphipod-[^/]+" to their files/,
      );
    } finally {
      chmodSync(fixture.dir, 0o711);
    }
  });

  const bad: [what: string, options: Usernsoptions, text: RegExp, more?: { network: NamespaceMode }][] = [
    ['two mappings', { ...podMode, uids: [mapping, mapping] }, /\.uids: has 2 mappings/],
    ['no gids', { ...podMode, gids: [] }, /\.gids: has 0 mappings/],
    ['0 not mapped', { ...podMode, uids: [{ ...mapping, containerId: 1 }] }, /must map container id 0/],
    ['no length', { ...podMode, gids: [{ ...mapping, length: 0 }] }, /not a range of ids/],
    ['mode CONTAINER', { ...podMode, mode: NamespaceMode.CONTAINER }, /must be POD or NODE/],
    ['mode TARGET', { ...podMode, mode: NamespaceMode.TARGET }, /must be POD or NODE/],
    ['the node’s network', podMode, /node's network namespace/, { network: NamespaceMode.NODE }],
  ];
  for (const [what, options, text, more] of bad) {
    test(`RunPodSandbox refuses: ${what}`, async () => {
      await refuses(run(options, more), grpcCode.INVALID_ARGUMENT, text);
    });
  }
});
