import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { after, before, describe, type TestContext, test } from 'node:test';
import { MS, mount } from '@amphipod/linux';
import { findCrictl, lacksCrictl } from './support/crictl.ts';
import { endSessionsAfterEach, type SessionOptions, startCrictl } from './support/crictl-session.ts';
import { useServer } from './support/fixture.ts';
import {
  createContainer,
  kubeletNamespaces,
  NamespaceMode,
  type Pod,
  removePod,
  sandboxConfig,
} from './support/pods.ts';

const mapping = [{ hostId: 200_000, containerId: 0, length: 65_536 }];
const userNamespaces = {
  'the node’s user namespace': undefined,
  'a user namespace': { mode: NamespaceMode.POD, uids: mapping, gids: mapping },
};
/** What a container may have as standard streams, and a view of the node's own devices. */
const kinds = {
  plain: {},
  stdin: { stdin: true },
  tty: { tty: true },
  'all-devices': { mounts: [{ hostPath: '/dev', containerPath: '/dev' }] },
};

/** The device files of the node, each with owner and mode. Terminals aside: they come and go, and change hands. */
function nodeDevices(): Set<string> {
  const devices = new Set<string>();
  const visit = (dir: string) => {
    for (const entry of readdirSync(dir, { withFileTypes: true })) {
      const path = `${dir}/${entry.name}`;
      if (entry.isDirectory() && entry.name !== 'pts') visit(path);
      if (!entry.isCharacterDevice() && !entry.isBlockDevice()) continue;
      const { uid, gid, mode } = statSync(path);
      devices.add(`${path} ${uid}:${gid} ${(mode & 0o7777).toString(8)}`);
    }
  };
  visit('/dev');
  return devices;
}

function assertUnchanged(devices: Set<string>, after: string): void {
  assert.deepEqual([...nodeDevices().symmetricDifference(devices)], [], `after ${after}`);
}

/** Does what they did, on every machine, and then what runc does. Its version is not known. */
const giver = `#!/bin/sh
case "$*" in
  features) runc features | sed s/runc.version/unknown.version/; exit ;;
  *' exec '*) give=yes ;;
  *' create '*) ! grep -q '"type":"user"' config.json || give=yes ;;
esac
[ -z "$give" ] || for fd in 0 1 2; do chown 1000:1001 /proc/self/fd/$fd || exit; done
exec runc "$@"
`;

// crun before 1.24 and runc 1.1.3 and 1.1.4 give the user of a process its standard streams, also where one of them is the
// node's /dev/null (containers/crun issue 1845, opencontainers/runc issue 3674).
for (const handler of ['runc', 'crun', 'giver']) {
  describe(`device files of the node stay as they are with ${handler}`, () => {
    // As /run is on a node: no device can be opened there.
    const fixture = useServer('amphipod', (dir) => {
      mkdirSync(`${dir}/state`);
      mount(`${dir}/state`, { type: 'tmpfs', flags: MS.NOSUID | MS.NODEV, data: 'mode=711' });
      writeFileSync(`${dir}/giver`, giver, { mode: 0o755 });
      writeFileSync(`${dir}/config.toml`, `[runtimes.giver]\npath = "${dir}/giver"\n`);
      return { flags: ['--config', `${dir}/config.toml`] };
    });
    endSessionsAfterEach();
    // The users of a user namespace must get through to the root file systems.
    before(() => chmodSync(fixture.dir, 0o711));
    // A failure must not be the node's.
    const { uid, gid } = statSync('/dev/null');
    after(() => chownSync('/dev/null', uid, gid));

    const canRun = async (context: TestContext): Promise<boolean> => {
      const { runtimeHandlers } = await fixture.cri.status({});
      const is = runtimeHandlers.some(({ name }) => name === handler);
      if (!is) context.skip(`${handler} cannot run on this machine, says Status`);
      return is;
    };

    for (const [where, usernsOptions] of Object.entries(userNamespaces)) {
      const namespaceOptions = { ...kubeletNamespaces({ pid: NamespaceMode.POD }), usernsOptions };
      const runPod = async (): Promise<Pod> => {
        const config = sandboxConfig({ linux: { securityContext: { namespaceOptions } } });
        const { podSandboxId } = await fixture.cri.runPodSandbox({ config, runtimeHandler: handler });
        return { id: podSandboxId, config };
      };
      for (const user of [0n, 1000n]) {
        const linux = { securityContext: { namespaceOptions, runAsUser: { value: user } } };

        test(`user ${user} in ${where}: create, start, ExecSync`, async (context) => {
          if (!(await canRun(context))) return;
          const devices = nodeDevices();
          const unchanged = (after: string) => assertUnchanged(devices, after);
          const pod = await runPod();
          unchanged('RunPodSandbox');
          for (const [name, streams] of Object.entries(kinds)) {
            const given = { image: fixture.image, metadata: { name }, linux, ...streams };
            const containerId = await createContainer(fixture.cri, pod, given);
            await fixture.cri.startContainer({ containerId });
            unchanged(`StartContainer ${name}`);
            const { exitCode } = await fixture.cri.execSync({ containerId, cmd: ['true'], timeout: 10 });
            assert.equal(exitCode, 0);
            unchanged(`ExecSync ${name}`);
          }
          await removePod(fixture.cri, pod);
          unchanged('RemovePodSandbox');
        });

        test(`user ${user} in ${where}: Exec`, { skip: lacksCrictl }, async (context) => {
          if (!(await canRun(context))) return;
          const devices = nodeDevices();
          const pod = await runPod();
          const containerId = await createContainer(fixture.cri, pod, { image: fixture.image, linux });
          await fixture.cri.startContainer({ containerId });
          const exec = (options: string[], session: SessionOptions = { input: '' }) =>
            startCrictl(findCrictl()!, fixture.server, ['exec', ...options, containerId, 'true'], session)
              .result;
          for (const session of [
            exec([]),
            exec(['-i']),
            exec(['-it'], { terminal: { rows: 2, columns: 9 } }),
          ]) {
            const { code, stderr, stdout } = await session;
            assert.equal(code, 0, `${stderr}${stdout}`);
            assertUnchanged(devices, 'Exec');
          }
          await removePod(fixture.cri, pod);
        });
      }
    }
  });
}
