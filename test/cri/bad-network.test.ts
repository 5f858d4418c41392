import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { startAmphipod } from './support/amphipod.ts';
import { useServer } from './support/fixture.ts';
import { assertLeft, leftovers } from './support/leftovers.ts';
import { bridgeConflist } from './support/network.ts';
import { kubeletNamespaces, NamespaceMode, removeCgroups, removePod, runPod } from './support/pods.ts';
import { grpcCode, refuses } from './support/refuses.ts';
import { makeScratch } from './support/scratch.ts';

const network = { bridge: 'crit9', prefix: '10.201.9' };

interface BadConfig {
  name: string;
  text: string;
  code: number;
  error: RegExp;
  /** False when only ADD can find it. */
  seenByStatus?: false;
}

const badConfigs: BadConfig[] = [
  {
    name: 'not JSON',
    text: '{"cniVersion": "1.0.0", "name": "x", "plugins": [{"type": }]}',
    code: grpcCode.UNAVAILABLE,
    error: /10-bad\.conflist/,
  },
  {
    name: 'no plugins',
    text: '{"cniVersion": "1.0.0", "name": "x", "plugins": []}',
    code: grpcCode.UNAVAILABLE,
    error: /10-bad\.conflist.*key "plugins": got .*, want a list with at least one plugin/,
  },
  {
    name: 'no name',
    text: '{"cniVersion": "1.0.0", "plugins": [{"type": "bridge"}]}',
    code: grpcCode.UNAVAILABLE,
    error: /10-bad\.conflist.*key "name"/,
  },
  {
    name: 'a subnet that is none',
    text: bridgeConflist(network, '/nowhere').replace('10.201.9.0/24', '10.201.9.0/99'),
    code: grpcCode.FAILED_PRECONDITION,
    error: /10\.201\.9\.0\/99/,
    seenByStatus: false,
  },
];

describe('network configurations that are wrong', () => {
  for (const { name, text, code, error, seenByStatus } of badConfigs) {
    test(`${name}: said by Status and RunPodSandbox, nothing left, host network works`, async () => {
      await using stack = new AsyncDisposableStack();
      const scratch = stack.use(makeScratch('bad-network'));
      mkdirSync(`${scratch.dir}/server`);
      stack.defer(removeCgroups);
      const server = stack.use(
        await startAmphipod({ dir: `${scratch.dir}/server`, cniConfigs: { '10-bad.conflist': text } }),
      );
      const nothing = await leftovers(server);
      const { status } = await server.cri.status();
      const ready = status?.conditions.find(({ type }) => type === 'NetworkReady');
      if (seenByStatus !== false) {
        assert.deepEqual([ready?.status, ready?.reason], [false, 'NetworkPluginNotReady']);
        assert.match(ready!.message, error);
      }
      await refuses(runPod(server.cri), code, error);
      assert.deepEqual((await server.cri.listPodSandbox()).items, []);
      await assertLeft(server, nothing);
      const securityContext = { namespaceOptions: kubeletNamespaces({ network: NamespaceMode.NODE }) };
      await removePod(server.cri, await runPod(server.cri, { linux: { securityContext } }));
    });
  }

  test('a plugin that is not installed: named, nothing begun, nothing left', async () => {
    await using stack = new AsyncDisposableStack();
    const { dir } = stack.use(makeScratch('bad-network'));
    mkdirSync(`${dir}/server`);
    stack.defer(removeCgroups);
    const bridge = JSON.parse(bridgeConflist(network, `${dir}/ipam`)) as { plugins: object[] };
    const text = JSON.stringify({ ...bridge, plugins: [bridge.plugins[0], { type: 'no-such-plugin' }] });
    const server = stack.use(
      await startAmphipod({ dir: `${dir}/server`, cniConfigs: { '10-late.conflist': text } }),
    );
    const nothing = await leftovers(server);
    await refuses(runPod(server.cri), grpcCode.FAILED_PRECONDITION, /failed to find plugin "no-such-plugin"/);
    assert.deepEqual((await server.cri.listPodSandbox()).items, []);
    await assertLeft(server, nothing);
  });

  describe('with others beside them', () => {
    const fixture = useServer('amphipod', { cniConfigs: {} });

    test('an empty directory, then a bad file before a good one', async () => {
      await refuses(
        runPod(fixture.cri),
        grpcCode.UNAVAILABLE,
        new RegExp(`no configuration in ${fixture.server.confDir}`),
      );
      writeFileSync(`${fixture.server.confDir}/05-bad.conflist`, '{');
      await refuses(runPod(fixture.cri), grpcCode.UNAVAILABLE, /05-bad\.conflist/);
      writeFileSync(
        `${fixture.server.confDir}/10-good.conflist`,
        bridgeConflist(network, `${fixture.server.dir}/ipam`),
      );
      await removePod(fixture.cri, await runPod(fixture.cri));
    });
  });
});
