import assert from 'node:assert/strict';
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { test } from 'node:test';
import { removeUnused } from '@amphipod/plugins';
import { subjects } from '../conformance/lib/subjects.ts';
import { type Config, call, links, run, World } from '../conformance/lib/world.ts';

const subject = subjects[0]!;

test('shared tables and bridges are removed when the last pod is gone, not before', async () => {
  // Earlier files of this run delete their reservations without DEL: what this /run has of them is nobody's.
  rmSync('/run/amphipod', { recursive: true, force: true });
  using world = new World();
  const ipam = { type: 'host-local', subnet: '10.99.0.0/24', dataDir: world.dataDir };
  const bridge = { type: 'bridge', bridge: 'tb0', isGateway: true, ipMasq: true, ipam };
  const portmap: Config = {
    type: 'portmap',
    runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80 }] },
  };
  const pod = { containerID: 'poda', netns: world.netns('a') };
  const prevResult = await call(subject, 'ADD', bridge, pod);
  await call(subject, 'ADD', portmap, { ...pod, prevResult });
  const tables = run('nft', 'list', 'tables');

  await removeUnused(['tb0']);
  assert.equal(run('nft', 'list', 'tables'), tables);
  assert.equal(readdirSync('/run/amphipod/host-local').length, 1);
  await call(subject, 'CHECK', bridge, { ...pod, prevResult });
  await call(subject, 'CHECK', portmap, { ...pod, prevResult });

  await call(subject, 'DEL', portmap, { ...pod, prevResult });
  await call(subject, 'DEL', bridge, { ...pod, prevResult });
  await removeUnused(['tb0', 'no-such-bridge']);
  assert.equal(run('nft', 'list', 'tables'), '');
  assert.equal(existsSync('/run/amphipod'), false);
  assert.deepEqual(
    links().map(({ ifname }) => ifname),
    ['lo'],
  );
  await removeUnused(['tb0']);
  // And all of it comes back.
  await call(subject, 'CHECK', bridge, { ...pod, prevResult: await call(subject, 'ADD', bridge, pod) });
});
