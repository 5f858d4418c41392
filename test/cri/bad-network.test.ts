import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { PodSandboxState } from '../../packages/runtime/src/gen/api.ts';
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

  test('a plugin that is not installed: the pod stays NOTREADY until its DEL can be called', async () => {
    await using stack = new AsyncDisposableStack();
    const { dir } = stack.use(makeScratch('bad-network'));
    const latePlugins = `${dir}/late-plugins`;
    for (const name of ['server', 'late-plugins']) mkdirSync(`${dir}/${name}`);
    stack.defer(removeCgroups);
    const text = '{"cniVersion": "1.0.0", "name": "x", "plugins": [{"type": "no-such-plugin"}]}';
    const cniConfigs = { '10-late.conflist': text };
    const server = stack.use(
      await startAmphipod({ dir: `${dir}/server`, cniConfigs, cniBinDirs: [latePlugins] }),
    );
    const nothing = await leftovers(server);
    await refuses(runPod(server.cri), grpcCode.FAILED_PRECONDITION, /no-such-plugin.*late-plugins/);
    for (const { id, state } of (await server.cri.listPodSandbox()).items) {
      assert.equal(state, PodSandboxState.SANDBOX_NOTREADY);
      writeFileSync(`${latePlugins}/no-such-plugin`, '#!/bin/sh\ncat >/dev/null\n', { mode: 0o755 });
      await removePod(server.cri, { id, config: {} });
    }
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
