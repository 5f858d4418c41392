import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { ownPluginDir, startAmphipod } from './support/amphipod.ts';
import { bridgeConflist } from './support/network.ts';
import { removeCgroups, removePod, runPod } from './support/pods.ts';
import { makeScratch } from './support/scratch.ts';
import type { CriServer } from './support/server.ts';

const READY_WITHIN_MS = 5000;
const network = { bridge: 'crit7', prefix: '10.201.7' };

/** Waits until Status says that the network is ready, or is not, for a reason that `message` matches. */
async function becomes(server: CriServer, isReady: boolean, message = /^/): Promise<void> {
  const deadline = performance.now() + READY_WITHIN_MS;
  for (;;) {
    const { status } = await server.cri.status();
    const ready = status?.conditions.find(({ type }) => type === 'NetworkReady');
    if (ready?.status === isReady && message.test(ready.message)) return;
    assert.ok(performance.now() < deadline, `NetworkReady is ${ready?.status}: ${ready?.message}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

test('the configuration directory goes, comes back and changes in every way; no restart is needed (CNI-12)', async (t) => {
  await using stack = new AsyncDisposableStack();
  const { dir } = stack.use(makeScratch('config-dir'));
  mkdirSync(`${dir}/server/etc/cni`, { recursive: true });
  stack.defer(removeCgroups);
  const confDir = `${dir}/server/etc/cni/net.d`;
  const bin = `${dir}/bin`;
  mkdirSync(bin);
  const server = stack.use(
    await startAmphipod({
      dir: `${dir}/server`,
      cniConfigs: {},
      cniBinDirs: [bin, ownPluginDir],
      flags: ['--cni-conf-dir', confDir],
    }),
  );
  const good = bridgeConflist(network, `${dir}/server/ipam`);
  const file = `${confDir}/10-net.conflist`;
  const firstPid = server.program().pid;

  await t.test('it is not there, then made', async () => {
    await becomes(server, false, /no network configuration in/);
    mkdirSync(confDir);
    writeFileSync(file, good);
    await becomes(server, true);
  });

  await t.test('removed and made anew', async () => {
    rmSync(confDir, { recursive: true });
    await becomes(server, false);
    mkdirSync(confDir);
    writeFileSync(file, good);
    await becomes(server, true);
    await removePod(server.cri, await runPod(server.cri));
  });

  await t.test('a file that arrives by rename', async () => {
    rmSync(file);
    await becomes(server, false);
    writeFileSync(`${confDir}/tmp`, good);
    renameSync(`${confDir}/tmp`, file);
    await becomes(server, true);
  });

  await t.test('edited in place, to something wrong and back', async () => {
    writeFileSync(file, good.replace('"bridge"', '"br/dge"'));
    await becomes(server, false, /10-net\.conflist/);
    writeFileSync(file, good);
    await becomes(server, true);
  });

  await t.test('a link that is turned to another directory', async () => {
    mkdirSync(`${dir}/one`);
    mkdirSync(`${dir}/two`);
    writeFileSync(`${dir}/two/10-net.conflist`, good);
    rmSync(confDir, { recursive: true });
    symlinkSync(`${dir}/one`, confDir);
    await becomes(server, false);
    symlinkSync(`${dir}/two`, `${confDir}.new`);
    renameSync(`${confDir}.new`, confDir);
    await becomes(server, true);
  });

  await t.test('the parent directory removed', async () => {
    rmSync(`${dir}/server/etc`, { recursive: true });
    await becomes(server, false);
    mkdirSync(confDir, { recursive: true });
    writeFileSync(file, good);
    await becomes(server, true);
  });

  await t.test('the file first, the plugin that it names later', async () => {
    const list = JSON.parse(good) as { plugins: object[] };
    writeFileSync(file, JSON.stringify({ ...list, plugins: [...list.plugins, { type: 'late' }] }));
    await becomes(server, false, /failed to find plugin "late"/);
    writeFileSync(`${bin}/late`, '#!/bin/sh\n', { mode: 0o755 });
    await becomes(server, true);
    writeFileSync(file, good);
  });

  await t.test("a plugin of the network's own folder", async () => {
    mkdirSync(`${confDir}/${network.bridge}`);
    writeFileSync(`${confDir}/${network.bridge}/20-more.conf`, '{"type":"no-such-plugin"}');
    await becomes(server, false, /no-such-plugin/);
    writeFileSync(`${confDir}/${network.bridge}/20-more.conf`, '{"type":"host-local"}');
    await becomes(server, true);
    rmSync(`${confDir}/${network.bridge}`, { recursive: true });
    await becomes(server, true);
  });

  await t.test('a thousand quick changes', async () => {
    for (let i = 0; i < 1000; i++) writeFileSync(file, i % 2 === 0 ? '{' : good);
    await becomes(server, true);
    await removePod(server.cri, await runPod(server.cri));
  });

  assert.deepEqual([server.program().pid, server.program().exitStatus()], [firstPid, undefined]);
});
