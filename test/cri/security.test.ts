import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import { SecurityProfile_ProfileType, SupplementalGroupsPolicy } from '../../packages/runtime/src/gen/api.ts';
import { loadVariant, useServer } from './support/fixture.ts';
import { createContainer, execText, type Pod, runToEnd, startContainer, withPod } from './support/pods.ts';
import { grpcCode, refuses } from './support/refuses.ts';
import type { BusyboxOptions, TestImage } from './support/test-images.ts';

type Given = Omit<Parameters<typeof createContainer>[2], 'image'> & { image?: TestImage };
type SecurityContext = NonNullable<NonNullable<Given['linux']>['securityContext']>;

/** Prints `NAME errno` for some system calls, each with arguments that do nothing where it is allowed. */
const probeSource = `
#include <errno.h>
#include <stdio.h>
#include <unistd.h>
static void probe(const char *name, long number, long a, long b) {
  errno = 0;
  syscall(number, a, b, 0, 0, 0, 0);
  printf("%s %d\\n", name, errno);
}
int main(void) {
  probe("clone3", 435, 0, 0);
  probe("openat2", 437, -1, 0);
  probe("unknown", 600, 0, 0);
  probe("unshare", 272, 0x10000000, 0);
  probe("clone", 56, 0x10000000 | 0x200 | 0x800, 0);
  probe("keyctl", 250, -1, 0);
  probe("mount", 165, 0, 0);
  probe("chmod", 90, 0, 0);
  return 0;
}`;
const ENOSYS = 38;
const EPERM = 1;
const EFAULT = 14;

describe('security of a container', () => {
  const fixture = useServer('amphipod');
  let withUser: TestImage;
  const withLoggedPod = (work: (pod: Pod) => Promise<void>) =>
    withPod(fixture.cri, { logDirectory: `${fixture.dir}/logs` }, work);
  const secured = (securityContext: SecurityContext): Given => ({ linux: { securityContext } });
  const shell = async (pod: Pod, script: string, given: Given = {}) =>
    (await runToEnd(fixture.cri, pod, { image: fixture.image, command: ['sh', '-c', script], ...given }))
      .stdout;
  const variant = (name: string, options: BusyboxOptions) => loadVariant(fixture, name, options);
  before(async () => {
    withUser = await variant('app', { config: { User: 'app', Cmd: ['sh'], Env: ['PATH=/bin'] } });
  });

  const userAndGroups: SecurityContext = {
    runAsUser: { value: 1000n },
    runAsGroup: { value: 7n },
    supplementalGroups: [9n],
  };
  const groupCases: [what: string, context: SecurityContext, uid: number, groups: number[]][] = [
    ['(a) no user: the groups of the image’s', {}, 1000, [1001, 50000]],
    ['(b) user 0: root’s only', { runAsUser: { value: 0n } }, 0, [0]],
    ['(c) a user without a line: none', { runAsUser: { value: 1234n } }, 1234, [0]],
    ['(d) user, group and more: Merge', userAndGroups, 1000, [7, 9, 50000]],
    [
      '(e) the same: Strict',
      { ...userAndGroups, supplementalGroupsPolicy: SupplementalGroupsPolicy.Strict },
      1000,
      [7, 9],
    ],
  ];
  for (const [what, context, uid, groups] of groupCases) {
    test(`groups ${what}; process, exec and status agree (USR-05)`, async () => {
      await withLoggedPod(async (pod) => {
        const id = await startContainer(fixture.cri, pod, { ...secured(context), image: withUser });
        assert.equal(
          await execText(fixture.cri, id, ['sh', '-c', 'id -u; id -G']),
          `${uid}\n${groups.join(' ')}\n`,
        );
        const line = await execText(fixture.cri, id, ['sh', '-c', 'grep ^Groups: /proc/1/status']);
        assert.deepEqual(line.replace('Groups:', '').trim().split(' ').map(Number), groups);
        const { status } = await fixture.cri.containerStatus({ containerId: id });
        const user = status!.user!.linux!;
        assert.deepEqual(
          [user.uid, user.gid, user.supplementalGroups],
          [BigInt(uid), BigInt(groups[0]!), groups.map(BigInt)],
        );
      });
    });
  }

  test('HOME is the user’s, in the process and in exec; image and pod come before it (USR-06)', async () => {
    await withLoggedPod(async (pod) => {
      const homes: [SecurityContext, string][] = [
        [{ runAsUser: { value: 0n } }, '/root'],
        [{}, '/home/app'],
        [{ runAsUser: { value: 4242n } }, '/'],
      ];
      for (const [context, home] of homes) {
        const id = await startContainer(fixture.cri, pod, {
          ...secured(context),
          image: withUser,
          metadata: { name: `home-${home.replaceAll('/', '-')}` },
          workingDir: '/tmp',
        });
        const inProcess = 'tr "\\0" "\\n" < /proc/1/environ | grep ^HOME=';
        assert.equal(
          await execText(fixture.cri, id, ['sh', '-c', `${inProcess}; echo $HOME`]),
          `HOME=${home}\n${home}\n`,
        );
      }
      const image = await variant('home', { config: { Env: ['PATH=/bin', 'HOME=/of-image'], Cmd: ['sh'] } });
      assert.equal(await shell(pod, 'echo $HOME', { image }), '/of-image\n');
      const envs = [{ key: 'HOME', value: Buffer.from('/of-pod') }];
      assert.equal(await shell(pod, 'echo $HOME', { image, envs }), '/of-pod\n');
    });
  });

  test('a working directory never leads out (USR-07)', async () => {
    const links = await variant('links', {
      extra: Array.from({ length: 18 }, (_, i) => ({
        path: `w${i + 3}`,
        type: 'symlink' as const,
        linkPath: `/proc/self/fd/${i + 3}`,
      })),
    });
    await withLoggedPod(async (pod) => {
      for (const workingDir of [
        '/proc/self/fd/7',
        '/proc/1/root',
        '//proc/./self/fd/8/..',
        '/proc/self/cwd/x',
      ]) {
        const call = createContainer(fixture.cri, pod, { image: links, workingDir });
        await refuses(call, grpcCode.INVALID_ARGUMENT, /working_dir ".*": leads out of the container/);
      }
      const relative = createContainer(fixture.cri, pod, { image: links, workingDir: 'tmp' });
      await refuses(relative, grpcCode.INVALID_ARGUMENT, /working_dir "tmp": must be absolute/);
      // Found from a directory of the host, whatever its depth, and from none of the container.
      writeFileSync(`${fixture.dir}/marker`, 'of the host\n');
      const marker = `${'../'.repeat(20)}${fixture.dir.slice(1)}/marker`;
      for (let fd = 3; fd <= 20; fd++) {
        const run = runToEnd(fixture.cri, pod, {
          image: links,
          workingDir: `/w${fd}`,
          command: ['cat', marker],
        });
        const text = await run.then(
          ({ stdout }) => stdout,
          () => 'refused',
        );
        assert.doesNotMatch(text, /of the host/, `descriptor ${fd}`);
      }
      const id = await startContainer(fixture.cri, pod, { image: links, workingDir: '/made/on/the/way' });
      assert.equal(
        await execText(fixture.cri, id, ['sh', '-c', 'pwd; stat -c %u .']),
        '/made/on/the/way\n0\n',
      );
      assert.equal(await execText(fixture.cri, id, ['sh', '-c', 'ls /proc/1/fd']), '0\n1\n2\n');
    });
  });

  test('limits are the configured ones, not the daemon’s, in the process and in exec (RES-09)', async () => {
    await withLoggedPod(async (pod) => {
      const own = /^Max open files\s+\d+\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))!;
      const [soft, hard] = [65_536, 1_048_576].map((limit) => Math.min(limit, Number(own[1])));
      const id = await startContainer(fixture.cri, pod, { image: fixture.image });
      const expected = `${soft}\n${hard}\n`;
      assert.equal(await execText(fixture.cri, id, ['sh', '-c', 'ulimit -Sn; ulimit -Hn']), expected);
      const line = await execText(fixture.cri, id, ['sh', '-c', 'grep "Max open files" /proc/1/limits']);
      assert.match(line, new RegExp(`\\s${soft}\\s+${hard}\\s`));
    });
  });

  test('ambient capabilities reach a user who is not root', async () => {
    const line = (name: string) => `grep ^${name}: /proc/self/status | cut -f2`;
    await withLoggedPod(async (pod) => {
      const context = (addAmbientCapabilities: string[]) =>
        secured({ runAsUser: { value: 1000n }, capabilities: { addAmbientCapabilities } });
      const script = `${line('CapEff')}; ${line('CapAmb')}`;
      assert.equal(await shell(pod, script, context([])), `${'0'.repeat(16)}\n`.repeat(2));
      assert.equal(
        await shell(pod, script, context(['NET_RAW'])),
        `${(1 << 13).toString(16).padStart(16, '0')}\n`.repeat(2),
      );
      const bad = createContainer(fixture.cri, pod, { image: fixture.image, ...context(['NO_SUCH']) });
      await refuses(bad, grpcCode.INVALID_ARGUMENT, /capability "NO_SUCH": unknown/);
    });
  });

  describe('seccomp (RES-08)', () => {
    let probe: TestImage | undefined;
    before(async () => {
      writeFileSync(`${fixture.dir}/probe.c`, probeSource);
      const [c, program] = [`${fixture.dir}/probe.c`, `${fixture.dir}/probe-program`];
      const libc = `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-musl`;
      execFileSync('tcc', [
        ...['-nostdlib', '-static', `-I/usr/include/${libc.split('/').at(-1)}`, '-o', program, c],
        ...[`${libc}/crt1.o`, `${libc}/libc.a`],
      ]);
      probe = await variant('probe', {
        extra: [{ path: 'probe', mode: 0o755, data: readFileSync(program) }],
      });
    });
    const errnos = async (pod: Pod, context: SecurityContext) => {
      const { stdout, stderr } = await runToEnd(fixture.cri, pod, {
        ...secured(context),
        image: probe!,
        command: ['/probe'],
      });
      assert.equal(stderr, '');
      return Object.fromEntries(
        stdout
          .trim()
          .split('\n')
          .map((line) => [line.split(' ')[0], Number(line.split(' ')[1])]),
      );
    };
    const skip = process.arch !== 'x64' && 'the probe has the numbers of x86-64';

    test('RuntimeDefault: what it denies is EPERM, what it does not know ENOSYS, clone3 too', {
      skip,
    }, async () => {
      await withLoggedPod(async (pod) => {
        const found = await errnos(pod, {});
        assert.equal(found.clone3, ENOSYS);
        assert.equal(found.unknown, ENOSYS);
        const { unshare, clone, mount, keyctl } = found;
        assert.deepEqual({ unshare, clone, mount, keyctl }, { unshare: 1, clone: 1, mount: 1, keyctl: 1 });
        assert.notEqual(found.openat2, ENOSYS);
        assert.notEqual(found.openat2, EPERM);
        assert.equal(found.chmod, EFAULT);
        const admin = await errnos(pod, { capabilities: { addCapabilities: ['SYS_ADMIN'] } });
        assert.notEqual(admin.clone3, ENOSYS);
        assert.deepEqual([admin.unshare, admin.mount], [0, EFAULT]);
        assert.equal((await errnos(pod, { privileged: true })).mount, EFAULT);
      });
    });

    test('a file of the node: errnoRet, and names that nobody knows', { skip }, async () => {
      const file = `${fixture.dir}/profile.json`;
      const profile = (content: unknown) => {
        writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
        return { seccomp: { profileType: SecurityProfile_ProfileType.Localhost, localhostRef: file } };
      };
      await withLoggedPod(async (pod) => {
        const rules = [
          { names: ['chmod', 'no_such_call'], action: 'SCMP_ACT_ERRNO', errnoRet: 95 },
          { names: ['keyctl'], action: 'SCMP_ACT_ERRNO' },
        ];
        const found = await errnos(pod, profile({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: rules }));
        assert.deepEqual([found.chmod, found.keyctl, found.mount], [95, EPERM, EFAULT]);
        const bad: [content: unknown, text: RegExp][] = [
          ['{ "defaultAction": ', /read seccomp profile ".*\/profile\.json"/],
          ['[]', /seccomp profile ".*\/profile\.json": defaultAction/],
          [
            { defaultAction: 'SCMP_ACT_ALOW' },
            /seccomp profile ".*": defaultAction "SCMP_ACT_ALOW": unknown/,
          ],
          [
            { defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['chmod'], action: 'NO' }] },
            /seccomp profile ".*": syscalls 0: action "NO": unknown/,
          ],
        ];
        for (const [content, text] of bad) {
          const call = createContainer(fixture.cri, pod, { image: probe!, ...secured(profile(content)) });
          await refuses(call, grpcCode.FAILED_PRECONDITION, text);
        }
      });
    });
  });
});
