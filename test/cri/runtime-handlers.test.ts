import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { detectCgroups } from '@amphipod/linux';
import { useServer } from './support/fixture.ts';
import {
  execText,
  exited,
  kubeletNamespaces,
  NamespaceMode,
  removePod,
  runPod,
  sandboxConfig,
  startContainer,
} from './support/pods.ts';
import { grpcCode, refuses } from './support/refuses.ts';

describe('runtime handlers', () => {
  // The third is a program that only the configuration knows; it notes its calls.
  const fixture = useServer('amphipod', (dir) => {
    mkdirSync(`${dir}/bin`);
    const program = (name: string, text: string) => {
      writeFileSync(`${dir}/bin/${name}`, `#!/bin/sh\n${text}\n`);
      chmodSync(`${dir}/bin/${name}`, 0o755);
    };
    program('third', `echo "$*" >> ${dir}/calls\n[ "$1" = --note ] && shift\nexec runc "$@"`);
    program('silent', '[ "$1" = features ] && exit 1\nexec runc "$@"');
    const config = `
[runtimes.third]
path = "${dir}/bin/third"
options = ["--note"]
[runtimes.silent]
path = "${dir}/bin/silent"
type = "oci"
[runtimes.missing]
path = "${dir}/bin/missing"
`;
    writeFileSync(`${dir}/config.toml`, config);
    return { flags: ['--config', `${dir}/config.toml`] };
  });
  const run = async (runtimeHandler: string) => {
    const config = sandboxConfig();
    const { podSandboxId } = await fixture.cri.runPodSandbox({ config, runtimeHandler });
    return { id: podSandboxId, config };
  };

  test('a third needs only configuration: start, exec, stop', async () => {
    const pod = await run('third');
    const { status } = await fixture.cri.podSandboxStatus({ podSandboxId: pod.id });
    assert.equal(status!.runtimeHandler, 'third');
    const containerId = await startContainer(fixture.cri, pod, { image: fixture.image });
    assert.equal(await execText(fixture.cri, containerId, ['echo', 'works']), 'works\n');
    const calls = readFileSync(`${fixture.server.dir}/calls`, 'utf8');
    for (const command of ['create', 'start', 'exec'])
      assert.match(
        calls,
        new RegExp(`^--note --root ${fixture.server.dir}/state/oci/third .*\\b${command} `, 'm'),
      );
    await fixture.cri.stopContainer({ containerId, timeout: 10 });
    assert.equal((await exited(fixture.cri, containerId)).exitCode, 0);
    await removePod(fixture.cri, pod);
  });

  test('Status: the default under the empty name too; what each can; none that cannot run', async () => {
    const { runtimeHandlers } = await fixture.cri.status({});
    const features = Object.fromEntries(runtimeHandlers.map(({ name, features: each }) => [name, each!]));
    const all = { recursiveReadOnlyMounts: true, userNamespaces: true };
    assert.deepEqual([features[''], features.runc, features.third], [all, all, all]);
    assert.deepEqual(features.silent, { recursiveReadOnlyMounts: false, userNamespaces: false });
    assert.equal(features.missing, undefined);
    const cgroups = detectCgroups();
    const crunRuns = cgroups.version === 2 || !cgroups.mounts.has('unified');
    assert.equal(features.crun !== undefined, crunRuns);
  });

  test('what cannot be is refused with its reason', async () => {
    await refuses(
      run('missing'),
      grpcCode.FAILED_PRECONDITION,
      /handler "missing": .*\/bin\/missing is not there/,
    );
    await refuses(run('kata'), grpcCode.INVALID_ARGUMENT, /handler "kata": unknown; known are .*"third"/);
    const mapping = [{ hostId: 200_000, containerId: 0, length: 65_536 }];
    const usernsOptions = { mode: NamespaceMode.POD, uids: mapping, gids: mapping };
    const config = sandboxConfig({
      linux: { securityContext: { namespaceOptions: { ...kubeletNamespaces(), usernsOptions } } },
    });
    await refuses(
      fixture.cri.runPodSandbox({ config, runtimeHandler: 'silent' }),
      grpcCode.FAILED_PRECONDITION,
      /userns_options: silent has no user namespaces/,
    );
    const pod = await runPod(fixture.cri);
    await removePod(fixture.cri, pod);
  });
});
