import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { SecurityProfile_ProfileType } from '../../packages/runtime/src/gen/api.ts';
import { loadVariant, subjects, useServer } from './support/fixture.ts';
import {
  createContainer,
  execText,
  type Pod,
  type runPod,
  runToEnd,
  startContainer,
  withPod,
} from './support/pods.ts';
import type { BusyboxOptions, TestImage } from './support/test-images.ts';

type Given = Omit<Parameters<typeof runToEnd>[2], 'image'>;
type SecurityContext = NonNullable<NonNullable<Given['linux']>['securityContext']>;

/** The capabilities that every runtime of the field gives: those of Docker's default list. */
const defaultCapabilities = '00000000a80425fb';

for (const subject of subjects) {
  describe(`a container’s process with ${subject}`, () => {
    const fixture = useServer(subject);
    const withLoggedPod = (work: (pod: Pod) => Promise<void>, given: Parameters<typeof runPod>[1] = {}) =>
      withPod(fixture.cri, { logDirectory: `${fixture.dir}/logs`, ...given }, work);
    const output = async (pod: Pod, given: Given & { image?: TestImage }) =>
      (await runToEnd(fixture.cri, pod, { image: fixture.image, ...given })).stdout;
    const shell = (pod: Pod, script: string, given: Given = {}) =>
      output(pod, { command: ['sh', '-c', script], ...given });
    const secured = (securityContext: SecurityContext): Given => ({ linux: { securityContext } });
    const variant = (name: string, options: BusyboxOptions) => loadVariant(fixture, name, options);

    test('arguments: the four forms of command and args over ENTRYPOINT and CMD', async () => {
      const image = await variant('entrypoint', { config: { Entrypoint: ['echo', 'entry'], Cmd: ['cmd'] } });
      const neither = await variant('no-command', { config: { Cmd: [] } });
      await withLoggedPod(async (pod) => {
        const base = { image, command: [], args: [] };
        assert.equal(await output(pod, base), 'entry cmd\n');
        assert.equal(await output(pod, { ...base, args: ['x y', '$HOME'] }), 'entry x y $HOME\n');
        assert.equal(await output(pod, { ...base, command: ['echo', 'own'] }), 'own\n');
        assert.equal(await output(pod, { ...base, command: ['echo'], args: ['own', 'args'] }), 'own args\n');
        await assert.rejects(createContainer(fixture.cri, pod, { ...base, image: neither }), /command/);
      });
    });

    test('environment: the image’s, then the pod’s, byte by byte', async () => {
      await withLoggedPod(async (pod) => {
        const envs = Object.entries({
          FROM_IMAGE: 'no, mine',
          EQUALS: 'a=b=c',
          UTF8: 'größer → ok',
          EMPTY: '',
          LINES: '1\n2',
        });
        const text = await shell(
          pod,
          'printf "%s|" "$PATH" "$FROM_IMAGE" "$EQUALS" "$UTF8" "$EMPTY" "$LINES" "$HOSTNAME"',
          {
            envs: envs.map(([key, value]) => ({ key, value: Buffer.from(value) })),
          },
        );
        // Whether the last line had its newline a log does not tell.
        assert.equal(text.replace(/\n$/, ''), '/bin|no, mine|a=b=c|größer → ok||1\n2|test-pod|');
      });
    });

    test('working directory: the pod’s, else the image’s, made when missing', async () => {
      const image = await variant('workdir', { config: { WorkingDir: '/var/www' } });
      await withLoggedPod(async (pod) => {
        assert.equal(await output(pod, { image, command: ['pwd'] }), '/var/www\n');
        assert.equal(
          await output(pod, { image, command: ['pwd'], workingDir: '/made/here' }),
          '/made/here\n',
        );
        assert.equal(await output(pod, { command: ['pwd'] }), '/\n');
      });
    });

    const users: {
      name: string;
      user?: string;
      given?: SecurityContext;
      expected: string;
      containerd?: string;
    }[] = [
      { name: 'none', expected: '0:0:0' },
      {
        name: 'image USER name',
        user: 'app',
        expected: '1000:1001:1001 50000',
        containerd: '1000:1001:1001',
      },
      {
        name: 'image USER uid',
        user: '1000',
        expected: '1000:1001:1001 50000',
        containerd: '1000:1001:1001',
      },
      { name: 'image USER uid:gid', user: '1000:7', expected: '1000:7:7' },
      { name: 'image USER unknown uid', user: '4242', expected: '4242:0:0' },
      { name: 'run_as_user', given: { runAsUser: { value: 1000n } }, expected: '1000:1001:1001 50000' },
      {
        name: 'run_as_user over the image',
        user: 'app',
        given: { runAsUser: { value: 0n } },
        expected: '0:0:0',
      },
      { name: 'run_as_username', given: { runAsUsername: 'app' }, expected: '1000:1001:1001 50000' },
      {
        name: 'run_as_group',
        given: { runAsUser: { value: 1000n }, runAsGroup: { value: 9n } },
        expected: '1000:9:9 50000',
      },
      {
        name: 'supplemental groups',
        given: { runAsUser: { value: 4242n }, supplementalGroups: [11n, 12n] },
        expected: '4242:0:0 11 12',
      },
    ];
    for (const { name, user, given, expected, containerd } of users) {
      // containerd 1.6 leaves out the groups of the image's own user (fixed in 1.7).
      const groups = subject === 'containerd' ? (containerd ?? expected) : expected;
      test(`user: ${name}`, async () => {
        const image =
          user === undefined
            ? fixture.image
            : await variant(`user-${user.replace(':', '-')}`, { config: { User: user, Cmd: ['sh'] } });
        await withLoggedPod(async (pod) => {
          const command = ['sh', '-c', 'echo $(id -u):$(id -g):$(id -G)'];
          assert.equal(await output(pod, { image, command, ...(given && secured(given)) }), `${groups}\n`);
        });
      });
    }

    test('user: a group alone and an unknown name are refused', async () => {
      await withLoggedPod(async (pod) => {
        for (const context of [
          { runAsGroup: { value: 9n } },
          { runAsUsername: 'ghost' },
        ] as SecurityContext[]) {
          await assert.rejects(
            createContainer(fixture.cri, pod, { image: fixture.image, ...secured(context) }),
          );
        }
        assert.deepEqual(
          (await fixture.cri.listContainers({ filter: { podSandboxId: pod.id } })).containers,
          [],
        );
      });
    });

    test('capabilities: default, add, drop, all, none', async () => {
      const bounding = 'grep CapBnd /proc/self/status | cut -f2';
      const all = /CapBnd:\t(\S+)/.exec(readFileSync('/proc/self/status', 'latin1'))![1]!;
      const netAdmin = (BigInt(`0x${defaultCapabilities}`) | (1n << 12n)).toString(16).padStart(16, '0');
      const noChown = (BigInt(`0x${defaultCapabilities}`) & ~1n).toString(16).padStart(16, '0');
      await withLoggedPod(async (pod) => {
        assert.equal(await shell(pod, bounding), `${defaultCapabilities}\n`);
        const given = (capabilities: SecurityContext['capabilities']) => secured({ capabilities });
        assert.equal(await shell(pod, bounding, given({ addCapabilities: ['NET_ADMIN'] })), `${netAdmin}\n`);
        assert.equal(await shell(pod, bounding, given({ dropCapabilities: ['CHOWN'] })), `${noChown}\n`);
        assert.equal(await shell(pod, bounding, given({ dropCapabilities: ['ALL'] })), `${'0'.repeat(16)}\n`);
        assert.equal(await shell(pod, bounding, given({ addCapabilities: ['ALL'] })), `${all}\n`);
      });
    });

    test('seccomp and no_new_privs', async () => {
      const line = (name: string) => `grep "^${name}:" /proc/self/status | cut -f2`;
      const unconfined = { profileType: SecurityProfile_ProfileType.Unconfined };
      await withLoggedPod(async (pod) => {
        assert.equal(await shell(pod, line('Seccomp')), '2\n');
        assert.equal(await shell(pod, line('Seccomp'), secured({ seccomp: unconfined })), '0\n');
        assert.equal(await shell(pod, line('NoNewPrivs')), '0\n');
        assert.equal(await shell(pod, line('NoNewPrivs'), secured({ noNewPrivs: true })), '1\n');
      });
    });

    test('masked and read-only paths', async () => {
      await withLoggedPod(async (pod) => {
        const given = secured({ maskedPaths: ['/var/www', '/etc/group'], readonlyPaths: ['/home'] });
        assert.equal(await shell(pod, 'ls -A /var/www; cat /etc/group', given), '');
        assert.match(await shell(pod, 'touch /home/x 2>&1', given), /Read-only file system/);
      });
    });

    test('privileged: all capabilities, no seccomp, the host’s devices, writable /sys', async () => {
      const all = /CapBnd:\t(\S+)/.exec(readFileSync('/proc/self/status', 'latin1'))![1]!;
      const securityContext = { privileged: true };
      await withLoggedPod(
        async (pod) => {
          const script =
            'grep CapEff /proc/self/status | cut -f2; grep "^Seccomp:" /proc/self/status | cut -f2; ls /dev/null /dev/kmsg';
          assert.equal(
            await shell(pod, script, secured(securityContext)),
            `${all}\n0\n/dev/kmsg\n/dev/null\n`,
          );
          if (subject === 'containerd') return; // 1.6 leaves /sys read-only here.
          assert.match(
            await shell(pod, 'grep " /sys " /proc/mounts', secured(securityContext)),
            / sysfs rw,/,
          );
        },
        { linux: { securityContext } },
      );
    });

    test('no descriptors but 0 to 2, and no controlling parent', async () => {
      await withLoggedPod(async (pod) => {
        const id = await startContainer(fixture.cri, pod, { image: fixture.image });
        assert.equal(
          await execText(fixture.cri, id, ['sh', '-c', 'ls /proc/1/fd']),
          '0\n1\n2\n10\n'.replace('10\n', ''),
        );
        assert.match(await execText(fixture.cri, id, ['cat', '/proc/1/stat']), /^1 \(sh\) \S 0 /);
      });
    });

    test('resources reach the kernel', async () => {
      const resources = {
        memoryLimitInBytes: 64n << 20n,
        cpuShares: 512n,
        cpuPeriod: 100000n,
        cpuQuota: 20000n,
        oomScoreAdj: 500n,
      };
      await withLoggedPod(async (pod) => {
        const id = await startContainer(fixture.cri, pod, { image: fixture.image, linux: { resources } });
        assert.equal(await execText(fixture.cri, id, ['cat', '/proc/1/oom_score_adj']), '500\n');
        const cgroup = (controller: string) => `/sys/fs/cgroup/${controller}`;
        const values = await execText(fixture.cri, id, [
          ...[
            'sh',
            '-c',
            `cat ${cgroup('memory')}/memory.limit_in_bytes ${cgroup('cpu')}/cpu.shares ${cgroup('cpu')}/cpu.cfs_quota_us 2>/dev/null || cat ${cgroup('')}memory.max`,
          ],
        ]);
        assert.match(values, /^67108864\n(512\n20000\n)?$/);
      });
    });
  });
}
