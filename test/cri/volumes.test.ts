import assert from 'node:assert/strict';
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { before, describe, test } from 'node:test';
import { mount, unmount } from '@amphipod/linux';
import { loadVariant, useServer } from './support/fixture.ts';
import { assertLeft, leftovers } from './support/leftovers.ts';
import {
  containerConfig,
  createContainer,
  execText,
  type Pod,
  runPod,
  startContainer,
} from './support/pods.ts';
import { grpcCode, refuses } from './support/refuses.ts';
import type { BusyboxOptions, TestImage } from './support/test-images.ts';
import { eventually } from './support/wait.ts';

type Given = Omit<Parameters<typeof createContainer>[2], 'image'>;

describe('volumes', () => {
  const fixture = useServer('amphipod');
  let pod: Pod;
  let count = 0;
  before(async () => {
    pod = await runPod(fixture.cri);
  });
  const named = (given: Given & { image?: TestImage }) => ({
    image: fixture.image,
    metadata: { name: `c${count++}` },
    ...given,
  });
  const start = (given: Given & { image?: TestImage }) => startContainer(fixture.cri, pod, named(given));
  const create = (given: Given & { image?: TestImage }) => createContainer(fixture.cri, pod, named(given));
  const shell = (id: string, script: string) => execText(fixture.cri, id, ['sh', '-c', script]);
  const variant = (name: string, options: BusyboxOptions) => loadVariant(fixture, name, options);

  describe('of an image (VOL-03)', () => {
    let image: TestImage;
    before(async () => {
      image = await variant('volume', {
        extra: [
          { path: 'abs', type: 'symlink', linkPath: '/etc' },
          { path: 'up', type: 'symlink', linkPath: '../../etc' },
          { path: 'ok', type: 'symlink', linkPath: 'real' },
          { path: 'real', type: 'directory', mode: 0o755 },
          { path: 'real/f', data: 'content\n' },
        ],
      });
    });
    const volume = (imageSubPath = '', more: object = {}) => ({
      mounts: [
        { containerPath: '/volume', image: { image: image.id }, readonly: true, imageSubPath, ...more },
      ],
    });

    test('the whole: read-only, executable, its image in the status', async () => {
      const id = await start(volume());
      assert.equal(await shell(id, 'cat /volume/real/f; /volume/bin/echo runs'), 'content\nruns\n');
      assert.match(await shell(id, 'touch /volume/x'), /Read-only file system/);
      const { status } = await fixture.cri.containerStatus({ containerId: id });
      const [mount] = status!.mounts;
      assert.deepEqual(
        [status!.mounts.length, mount!.image?.image, mount!.image?.imageRef, mount!.hostPath],
        [1, image.id, image.id, ''],
      );
    });

    for (const path of ['real', 'ok', 'real/../real']) {
      test(`sub-path ${path}`, async () => {
        assert.equal(await shell(await start(volume(path)), 'cat /volume/f'), 'content\n');
      });
    }
    test('sub-path of a file', async () => {
      assert.equal(await shell(await start(volume('real/f')), 'cat /volume'), 'content\n');
    });

    const bad: [what: string, given: () => Given, text: RegExp][] = [
      ...['abs', 'up', '/real', '../x', 'real/../../etc'].map((path): (typeof bad)[number] => [
        `sub-path ${path}`,
        () => volume(path),
        /^ImageVolumeMountFailed: mount 0 \("\/volume"\): image_sub_path ".*" leads out of the image$/,
      ]),
      [
        'sub-path nope',
        () => volume('nope'),
        /^ImageVolumeMountFailed: .*"nope" is not in the image \(ENOENT\)/,
      ],
      ['writable', () => volume('', { readonly: false }), /ImageVolumeMountFailed: .*readonly must be set/],
      ['also a host path', () => volume('', { hostPath: '/tmp' }), /host_path and image exclude each other/],
      [
        'an image that is not here',
        () => volume('', { image: { image: 'localhost/no:v1' } }),
        /ImageVolumeMountFailed: .*image "localhost\/no:v1" is not here/,
      ],
      [
        'a sub-path without an image',
        () => volume('etc', { image: undefined, hostPath: '/tmp' }),
        /image_sub_path needs image/,
      ],
    ];
    for (const [what, given, text] of bad) {
      test(`refused: ${what}; nothing is left`, async () => {
        const nothing = await leftovers(fixture.server);
        await refuses(create(given()), grpcCode.INVALID_ARGUMENT, text);
        await assertLeft(fixture.server, nothing);
      });
    }

    test('the image outlives its removal while a container has it', async () => {
      const gone = await variant('gone', { extra: [{ path: 'marker', data: 'here\n' }] });
      const id = await start({
        mounts: [{ containerPath: '/volume', image: { image: gone.id }, readonly: true }],
      });
      await fixture.cri.removeImage({ image: { image: gone.id } });
      assert.equal(await shell(id, 'cat /volume/marker'), 'here\n');
      await fixture.cri.removeContainer({ containerId: id });
    });
  });

  describe('VOLUMEs of the image', () => {
    let image: TestImage;
    before(async () => {
      image = await variant('volumes', {
        config: { Cmd: ['sh'], Volumes: { '/data': {}, '/new/dir/': {}, relative: {}, '/link': {} } },
        extra: [
          { path: 'data', type: 'directory', mode: 0o1770, uid: 3, gid: 4 },
          { path: 'data/f', data: 'from image\n', uid: 7, gid: 8, mode: 0o640 },
          { path: 'data/l', type: 'symlink', linkPath: 'f' },
          { path: 'link', type: 'symlink', linkPath: 'data' },
        ],
      });
    });

    test('content and attributes of the image; writable on a read-only root; gone with the container', async () => {
      const nothing = await leftovers(fixture.server);
      const id = await start({ image, linux: { securityContext: { readonlyRootfs: true } } });
      const script = 'cat /data/f; readlink /data/l; stat -c "%a %u %g" /data /data/f /new/dir';
      assert.equal(await shell(id, script), 'from image\nf\n1770 3 4\n640 7 8\n755 0 0\n');
      await shell(id, 'echo changed > /data/f; touch /new/dir/x /relative/x');
      assert.equal(await shell(id, 'cat /data/f; ls /relative'), 'changed\nx\n');
      assert.match(await shell(id, 'touch /x'), /Read-only/);
      const { status } = await fixture.cri.containerStatus({ containerId: id });
      assert.deepEqual(status!.mounts, []);
      const other = await start({ image });
      assert.equal(await shell(other, 'cat /data/f'), 'from image\n');
      for (const containerId of [id, other]) await fixture.cri.removeContainer({ containerId });
      await assertLeft(fixture.server, nothing);
    });

    test('a mount of the kubelet takes the place', async () => {
      const hostPath = `${fixture.dir}/instead`;
      mkdirSync(hostPath);
      const id = await start({ image, mounts: [{ hostPath, containerPath: '/data/' }] });
      assert.equal(await shell(id, 'ls -A /data; touch /data/x'), '');
      assert.ok(statSync(`${hostPath}/x`).isFile());
    });
  });

  test('links in a host path are followed when the container is made (VOL-02)', async () => {
    const dir = `${fixture.dir}/config`;
    for (const version of ['..d1', '..d2']) {
      mkdirSync(`${dir}/${version}`, { recursive: true });
      writeFileSync(`${dir}/${version}/f`, `${version}\n`);
    }
    symlinkSync('..d1', `${dir}/..data`);
    symlinkSync('..data/f', `${dir}/f`);
    const id = await start({
      mounts: [
        { hostPath: dir, containerPath: '/whole' },
        { hostPath: `${dir}/f`, containerPath: '/file' },
        { hostPath: `${dir}/..data`, containerPath: '/data' },
      ],
    });
    assert.equal(await shell(id, 'cat /whole/f /file /data/f'), '..d1\n..d1\n..d1\n');
    symlinkSync('..d2', `${dir}/..next`);
    renameSync(`${dir}/..next`, `${dir}/..data`);
    assert.equal(await shell(id, 'cat /whole/f /file /data/f'), '..d2\n..d1\n..d1\n');
    rmSync(`${dir}/..d2`, { recursive: true });
    const dangling = create({ mounts: [{ hostPath: `${dir}/f`, containerPath: '/file' }] });
    await refuses(dangling, grpcCode.INVALID_ARGUMENT, /host_path ".*\/config\/f" does not exist/);
  });

  test('a host path that does not answer holds up nothing else, and the name is free again (LIF-04)', async () => {
    const dir = `${fixture.dir}/hung`;
    mkdirSync(dir);
    // A FUSE file system whose program never reads a request.
    const fuse = openSync('/dev/fuse', 'r+');
    try {
      mount(dir, { source: 'hung', type: 'fuse', data: `fd=${fuse},rootmode=40000,user_id=0,group_id=0` });
      const mounts = [{ hostPath: `${dir}/volume`, containerPath: '/volume' }];
      const given = (i: number) =>
        containerConfig(fixture.image, { metadata: { name: `hung-${i}` }, mounts });
      const call = (i: number, timeoutMs: number) =>
        fixture.cri.createContainer(
          { podSandboxId: pod.id, config: given(i), sandboxConfig: pod.config },
          { timeoutMs },
        );
      // More than there are threads for such things.
      const hung = Array.from({ length: 20 }, (_, i) => call(i, 3000).catch((error: Error) => error));
      await eventually('the first to be at work', async () => {
        const again = await call(0, 3000).catch((error: { details: string }) => error);
        return 'details' in again && /in progress since .* at step "volumes"/.test(again.details);
      });
      assert.equal(await shell(await start({}), 'echo lives'), 'lives\n');
      await Promise.all(hung);
      await eventually('the name to be free', async () => {
        const again = await call(0, 500).catch((error: { code: number }) => error);
        return 'code' in again && again.code === grpcCode.DEADLINE_EXCEEDED;
      });
      const log = readFileSync(`${fixture.server.dir}/amphipod.log`, 'utf8');
      assert.match(log, /mount 0 \(\\"\/volume\\"\): host_path \\".*\/hung\/volume\\" does not answer/);
    } finally {
      closeSync(fuse);
      unmount(dir);
    }
    const { containers } = await fixture.cri.listContainers({ filter: { podSandboxId: pod.id } });
    assert.deepEqual(
      containers.filter(({ metadata }) => metadata!.name.startsWith('hung')),
      [],
    );
  });

  test('a target behind links stays in the container (VOL-05)', async () => {
    const image = await variant('chain', {
      extra: [
        { path: 'tmp/run2', type: 'directory' },
        { path: 'run2', type: 'symlink', linkPath: '/tmp/run2' },
        { path: 'var/run2', type: 'symlink', linkPath: '/run2' },
        { path: 'var/relative', type: 'symlink', linkPath: '../run2' },
        { path: 'var/beyond', type: 'symlink', linkPath: '../../../../../../run2' },
        { path: 'loop', type: 'symlink', linkPath: '/loop2' },
        { path: 'loop2', type: 'symlink', linkPath: '/loop' },
      ],
    });
    const hostPath = `${fixture.dir}/secret`;
    mkdirSync(hostPath);
    writeFileSync(`${hostPath}/key`, 'secret\n');
    for (const link of ['run2', 'relative', 'beyond']) {
      const id = await start({ image, mounts: [{ hostPath, containerPath: `/var/${link}/secrets/k` }] });
      assert.equal(await shell(id, 'cat /tmp/run2/secrets/k/key'), 'secret\n', link);
    }
    const containerId = await create({ image, mounts: [{ hostPath, containerPath: '/loop/x' }] });
    await assert.rejects(fixture.cri.startContainer({ containerId }), /symbolic links|ELOOP|loop/);
  });

  test('mount options: noexec, nodev and nosuid; no others', async () => {
    const hostPath = `${fixture.dir}/options`;
    mkdirSync(hostPath);
    const mount = { hostPath, containerPath: '/options' };
    const id = await start({ mounts: [{ ...mount, mountOptions: ['noexec', 'nosuid', 'nodev'] }] });
    const line = await shell(id, 'grep " /options " /proc/mounts');
    for (const option of ['noexec', 'nosuid', 'nodev']) assert.match(line, new RegExp(`\\b${option}\\b`));
    const bad = create({ mounts: [{ ...mount, mountOptions: ['exec,suid'] }] });
    await refuses(
      bad,
      grpcCode.INVALID_ARGUMENT,
      /mount_options "exec,suid": must be noexec, nodev or nosuid/,
    );
  });

  test('devices: through a link, from a directory, with permissions (VOL-08)', async () => {
    const dir = `${fixture.dir}/dev`;
    mkdirSync(dir);
    symlinkSync('/dev/null', `${dir}/link`);
    const id = await start({
      devices: [{ hostPath: `${dir}/link`, containerPath: '/dev/by-link', permissions: 'rw' }],
    });
    assert.equal(
      await shell(id, 'stat -c "%t:%T" /dev/by-link; echo x > /dev/by-link && echo ok'),
      '1:3\nok\n',
    );
    // One that no runtime allows by itself.
    const reader = await start({
      devices: [{ hostPath: '/dev/fuse', containerPath: '/dev/read-only', permissions: 'r' }],
    });
    const use = ': < /dev/read-only && echo read; (: > /dev/read-only) 2>&1; true';
    assert.match(await shell(reader, use), /^read\n.*\/dev\/read-only: Operation not permitted\n$/);
    for (const [device, text] of [
      [
        { hostPath: '/dev/null', containerPath: '/dev/x', permissions: 'rx' },
        /permissions "rx": must be letters/,
      ],
      [
        { hostPath: '/dev/null', containerPath: 'x', permissions: 'r' },
        /container_path "x": must be absolute/,
      ],
      [{ hostPath: '/etc/passwd', containerPath: '/dev/x', permissions: 'r' }, /not a device/],
    ] as const) {
      await refuses(create({ devices: [device] }), grpcCode.INVALID_ARGUMENT, text);
    }
  });

  test('a privileged container has devices, not their links (VOL-08)', async () => {
    const securityContext = { privileged: true };
    const id = await start({ linux: { securityContext } });
    assert.equal(await shell(id, 'stat -c "%t:%T" /dev/fuse'), 'a:e5\n');
    assert.equal(await shell(id, 'ls -l /dev | grep -c "0, *0 " || true'), '0\n');
  });
});
