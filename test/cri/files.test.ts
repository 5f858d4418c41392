import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { unmount } from '@amphipod/linux';
import { MountPropagation } from '../../packages/runtime/src/gen/api.ts';
import { subjects, useServer } from './support/fixture.ts';
import { execText, type Pod, startContainer, withPod } from './support/pods.ts';
import { run } from './support/program.ts';

for (const subject of subjects) {
  describe(`files of a pod with ${subject}`, () => {
    const fixture = useServer(subject);
    type Container = Omit<Parameters<typeof startContainer>[2], 'image'>;
    const start = (pod: Pod, given: Container = {}) =>
      startContainer(fixture.cri, pod, { image: fixture.image, ...given });
    const shell = (id: string, script: string) => execText(fixture.cri, id, ['sh', '-c', script]);

    test('resolv.conf says what the pod’s DNS configuration says', async () => {
      await withPod(fixture.cri, {}, async (pod) => {
        const lines = (await shell(await start(pod), 'cat /etc/resolv.conf')).trimEnd().split('\n');
        assert.deepEqual(lines.toSorted(), [
          'nameserver 192.0.2.53',
          'options ndots:5',
          'search test.example',
        ]);
      });
    });

    test('resolv.conf is the node’s without a DNS configuration', async () => {
      await withPod(fixture.cri, { dnsConfig: undefined }, async (pod) => {
        assert.equal(
          await shell(await start(pod), 'cat /etc/resolv.conf'),
          readFileSync('/etc/resolv.conf', 'utf8'),
        );
      });
    });

    test('hostname, in the kernel, the file and the environment', async () => {
      await withPod(fixture.cri, { hostname: 'some-name' }, async (pod) => {
        const text = await shell(await start(pod), 'hostname; cat /etc/hostname; echo $HOSTNAME');
        assert.equal(text, 'some-name\nsome-name\nsome-name\n');
      });
    });

    test('/etc/hosts is the node’s', async () => {
      await withPod(fixture.cri, {}, async (pod) => {
        assert.equal(await shell(await start(pod), 'cat /etc/hosts'), readFileSync('/etc/hosts', 'utf8'));
      });
    });

    test('/dev/shm: 64 MiB, one for the containers of a pod, none for other pods', async () => {
      await withPod(fixture.cri, {}, async (pod) => {
        const writer = await start(pod, { metadata: { name: 'writer' } });
        const reader = await start(pod, { metadata: { name: 'reader' } });
        await shell(writer, 'echo shared > /dev/shm/note');
        assert.equal(await shell(reader, 'cat /dev/shm/note'), 'shared\n');
        const [mount] = (await shell(reader, 'grep " /dev/shm " /proc/mounts')).split('\n');
        assert.match(
          mount!,
          /^\S+ \/dev\/shm tmpfs (?=.*\bnosuid\b)(?=.*\bnodev\b)(?=.*\bnoexec\b).*\bsize=65536k\b/,
        );
        await withPod(fixture.cri, {}, async (other) => {
          assert.match(await shell(await start(other), 'cat /dev/shm/note'), /No such file/);
        });
      });
    });

    test('a mount of the caller comes before a generated file', async () => {
      const file = `${fixture.dir}/own-resolv.conf`;
      writeFileSync(file, 'nameserver 198.51.100.1\n');
      await withPod(fixture.cri, {}, async (pod) => {
        const mounts = [{ hostPath: file, containerPath: '/etc/resolv.conf' }];
        assert.equal(
          await shell(await start(pod, { mounts }), 'cat /etc/resolv.conf'),
          'nameserver 198.51.100.1\n',
        );
      });
    });

    test('mounts: read-write, read-only, a file, a symbolic link; the status shows them and no others', async () => {
      const dir = `${fixture.dir}/volumes`;
      mkdirSync(`${dir}/data`, { recursive: true });
      writeFileSync(`${dir}/data/file`, 'content\n');
      symlinkSync('data', `${dir}/link`);
      const mounts = [
        { hostPath: `${dir}/data`, containerPath: '/rw' },
        { hostPath: `${dir}/data`, containerPath: '/made/on/the/way', readonly: true },
        { hostPath: `${dir}/data/file`, containerPath: '/one-file', readonly: true },
        { hostPath: `${dir}/link`, containerPath: '/by-link' },
      ];
      await withPod(fixture.cri, {}, async (pod) => {
        const id = await start(pod, { mounts });
        assert.equal(
          await shell(id, 'echo written > /rw/new; cat /made/on/the/way/new /by-link/file'),
          'written\ncontent\n',
        );
        assert.equal(readFileSync(`${dir}/data/new`, 'utf8'), 'written\n');
        assert.match(await shell(id, 'touch /made/on/the/way/x'), /Read-only file system/);
        assert.match(await shell(id, 'echo x > /one-file'), /Read-only file system/);
        const { status } = await fixture.cri.containerStatus({ containerId: id });
        const shown = status!.mounts.map(({ hostPath, containerPath, readonly }) => ({
          hostPath,
          containerPath,
          readonly,
        }));
        assert.deepEqual(
          shown.toSorted(byPath),
          mounts.map((mount) => ({ readonly: false, ...mount })).toSorted(byPath),
        );
      });
    });

    const propagations = [
      { name: 'private', value: MountPropagation.PROPAGATION_PRIVATE, in: false, out: false },
      {
        name: 'host to container',
        value: MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
        in: true,
        out: false,
      },
      { name: 'bidirectional', value: MountPropagation.PROPAGATION_BIDIRECTIONAL, in: true, out: true },
    ];
    for (const propagation of propagations) {
      test(`mount propagation: ${propagation.name}`, async () => {
        const dir = `${fixture.dir}/propagation-${propagation.value}`;
        mkdirSync(`${dir}/from-host`, { recursive: true });
        mkdirSync(`${dir}/from-container`);
        const securityContext = { privileged: true };
        await withPod(fixture.cri, { linux: { securityContext } }, async (pod) => {
          const mounts = [{ hostPath: dir, containerPath: '/mnt', propagation: propagation.value }];
          const id = await start(pod, { mounts, linux: { securityContext } });
          await run(['mount', '-t', 'tmpfs', 'test', `${dir}/from-host`]);
          writeFileSync(`${dir}/from-host/seen`, '');
          assert.equal(await shell(id, 'ls /mnt/from-host'), propagation.in ? 'seen\n' : '');
          await shell(id, 'mount -t tmpfs test /mnt/from-container && touch /mnt/from-container/seen');
          assert.equal(await run(['ls', `${dir}/from-container`]), propagation.out ? 'seen\n' : '');
          unmount(`${dir}/from-host`);
          unmount(`${dir}/from-container`);
        });
      });
    }

    test('read-only root file system', async () => {
      await withPod(fixture.cri, {}, async (pod) => {
        const id = await start(pod, { linux: { securityContext: { readonlyRootfs: true } } });
        assert.match(await shell(id, 'touch /file'), /Read-only file system/);
        assert.equal(await shell(id, 'echo ok > /dev/shm/f && cat /dev/shm/f'), 'ok\n');
      });
    });

    test('what a container writes is its own', async () => {
      await withPod(fixture.cri, {}, async (pod) => {
        const first = await start(pod, { metadata: { name: 'first' } });
        const second = await start(pod, { metadata: { name: 'second' } });
        await shell(first, 'echo changed > /etc/passwd; rm /var/www/index.html');
        assert.match(await shell(second, 'head -1 /etc/passwd'), /^root:/);
        assert.equal(await shell(second, 'cat /var/www/index.html'), 'hello from amphipod\n');
      });
    });
  });
}

function byPath(a: { containerPath: string }, b: { containerPath: string }): number {
  return a.containerPath < b.containerPath ? -1 : 1;
}
