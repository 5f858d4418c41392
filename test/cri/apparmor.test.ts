import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import { SecurityProfile_ProfileType } from '../../packages/runtime/src/gen/api.ts';
import { ociRuntime } from './support/amphipod.ts';
import { useServer } from './support/fixture.ts';
import { createContainer, execText, type Pod, startContainer, withPod } from './support/pods.ts';
import { run } from './support/program.ts';
import { grpcCode, refuses } from './support/refuses.ts';

const enabledFile = '/sys/module/apparmor/parameters/enabled';
const isEnabled = existsSync(enabledFile) && readFileSync(enabledFile, 'latin1').startsWith('Y');
const skip = !isEnabled && 'this kernel has no AppArmor';

type SecurityContext = NonNullable<
  NonNullable<Parameters<typeof createContainer>[2]['linux']>['securityContext']
>;

/** What a process of the OCI runtime has without a profile of ours: Debian 13 gives it one that confines nothing. */
const inherited = () => {
  const label = `${ociRuntime} (unconfined)`;
  const isLoaded = readFileSync('/sys/kernel/security/apparmor/profiles', 'utf8').split('\n').includes(label);
  return isLoaded ? `${label}\n` : 'unconfined\n';
};

describe('AppArmor', { skip }, () => {
  const fixture = useServer('amphipod');
  const own = 'amphipod-test-deny-write';
  before(async () => {
    const file = `${fixture.dir}/profile`;
    writeFileSync(
      file,
      `profile ${own} flags=(attach_disconnected) {\n  file,\n  signal,\n  deny /** w,\n}\n`,
    );
    await run(['apparmor_parser', '--replace', '--skip-cache', file]);
  });
  const { Localhost, RuntimeDefault, Unconfined } = SecurityProfile_ProfileType;
  const start = (pod: Pod, name: string, securityContext: SecurityContext) =>
    startContainer(fixture.cri, pod, {
      image: fixture.image,
      metadata: { name },
      linux: { securityContext },
    });
  const shell = (id: string, script: string) => execText(fixture.cri, id, ['sh', '-c', script]);
  const current = (id: string) => shell(id, 'cat /proc/1/attr/current /proc/self/attr/current');

  test('RuntimeDefault, also where nothing is said: our profile, in the process and in exec', async () => {
    await withPod(fixture.cri, {}, async (pod) => {
      const given: [string, SecurityContext][] = [
        ['unset', {}],
        ['field', { apparmor: { profileType: RuntimeDefault } }],
        ['old-field', { apparmorProfile: 'runtime/default' }],
      ];
      for (const [name, context] of given)
        assert.equal(
          await current(await start(pod, name, context)),
          'amphipod-default (enforce)\n'.repeat(2),
          name,
        );
      const mighty = await start(pod, 'mighty', { capabilities: { addCapabilities: ['ALL'] } });
      assert.match(await shell(mighty, 'mount -t tmpfs none /tmp'), /Permission denied|denied/);
      assert.match(await shell(mighty, 'echo h > /proc/sysrq-trigger'), /Permission denied/);
      assert.equal(
        await shell(mighty, 'echo x > /tmp/x && cat /tmp/x; kill -0 1 && echo signal'),
        'x\nsignal\n',
      );
      await fixture.cri.stopContainer({ containerId: mighty, timeout: 10 });
      assert.equal((await fixture.cri.containerStatus({ containerId: mighty })).status!.exitCode, 0);
    });
  });

  test('unconfined and privileged: none', async () => {
    await withPod(fixture.cri, {}, async (pod) => {
      const unconfined = await start(pod, 'unconfined', { apparmor: { profileType: Unconfined } });
      const privileged = await start(pod, 'privileged', { privileged: true });
      for (const id of [unconfined, privileged]) assert.equal(await current(id), inherited().repeat(2));
    });
  });

  test('a profile of the node, in both fields; one that is not loaded is refused', async () => {
    await withPod(fixture.cri, {}, async (pod) => {
      const given: [string, SecurityContext][] = [
        ['field', { apparmor: { profileType: Localhost, localhostRef: own } }],
        ['old-field', { apparmorProfile: `localhost/${own}` }],
      ];
      for (const [name, context] of given) {
        const id = await start(pod, name, context);
        assert.equal(await current(id), `${own} (enforce)\n`.repeat(2));
        assert.match(await shell(id, 'touch /tmp/foo'), /Permission denied/);
      }
      for (const context of [
        { apparmor: { profileType: Localhost, localhostRef: 'no-such-profile' } },
        { apparmorProfile: 'localhost/no-such-profile' },
      ]) {
        const call = createContainer(fixture.cri, pod, {
          image: fixture.image,
          metadata: { name: 'refused' },
          linux: { securityContext: context },
        });
        await refuses(
          call,
          grpcCode.FAILED_PRECONDITION,
          /apparmor profile "no-such-profile": is not loaded/,
        );
      }
    });
  });
});
