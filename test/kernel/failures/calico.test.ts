import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  createResource,
  findMistakes,
  observe,
  openEmbeddedDatastore,
  readAddressUse,
} from '@amphipod/fabric';
import { World } from '../../conformance/lib/world.ts';
import { failEveryStep, killAtEveryStep } from './fail-every-step.ts';

/** A network of both families in a datastore of the world's own. */
async function setUp(world: World) {
  const database = join(world.dir, 'network.db');
  await using store = openEmbeddedDatastore(database);
  for (const [name, cidr] of [
    ['v4', '10.77.0.0/24'],
    ['v6', 'fd00:77::/112'],
  ] as const) {
    await createResource(store, {
      kind: 'IPPool',
      apiVersion: 'projectcalico.org/v3',
      metadata: { name },
      spec: { cidr },
    });
  }
  const ipam = { type: 'calico-ipam', assign_ipv6: 'true' };
  const plugin = { type: 'calico', datastore_type: 'embedded', database, nodename: 'n1', mtu: 1400, ipam };
  return { database, plugin };
}

const mayStay = {
  '^sysctls\\.host\\.net/ip.*(forward|forwarding|/accept_redirects)$':
    'forwarding and what the kernel changes with it: other pods may have come to need it',
  '^files\\..*network\\.db': 'the datastore, which is looked at below',
  '^sysctls\\.pod\\..*/(lo|all)/': 'settings of the pod, whose namespace goes with it',
  '^sysctls\\.pod\\.net/ipv4/ip_forward$': 'the same',
};

/** What is in the datastore beside pools and the node’s blocks, and what does not fit together. */
async function leftIn(database: string): Promise<string[]> {
  await using store = openEmbeddedDatastore(database);
  const { entries } = await store.list('/calico/');
  const kept = entries.map(({ key }) => key).filter((key) => !/\/(ippools|assignment|host)\//.test(key));
  const use = await readAddressUse({ store });
  return [...kept, ...findMistakes(await observe({ store }), { use }).map(({ text }) => text)];
}

for (const [what, args] of [
  ['a pod', 'IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web'],
  ['anything else', ''],
] as const) {
  test(`calico, ${what}: each step fails, those of the datastore too, and nothing is left`, async () => {
    using world = new World();
    const netns = world.netns('pod');
    const { database, plugin } = await setUp(world);
    const afterFailure = async () => assert.deepEqual(await leftIn(database), []);
    const steps = await failEveryStep({ world, netns, plugins: [plugin], args, mayStay, afterFailure });
    assert.ok(steps.filter((step) => step.startsWith('datastore')).length >= 12, steps.join('\n'));
    assert.ok(steps.length >= 35, steps.join('\n'));
  });
  test(`calico, ${what}: killed at each step, and a DEL leaves nothing`, async () => {
    using world = new World();
    const netns = world.netns('pod');
    const { database, plugin } = await setUp(world);
    const afterFailure = async () => assert.deepEqual(await leftIn(database), []);
    const steps = await killAtEveryStep({ world, netns, plugins: [plugin], args, mayStay, afterFailure });
    assert.ok(steps.length >= 35, steps.join('\n'));
  });
}
