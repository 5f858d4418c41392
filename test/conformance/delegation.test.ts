/** Every plugin that has its addresses from an IPAM plugin hands every verb on to it (specification, section 4). */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { createInvoker } from '@amphipod/cni';
import { builtinPluginTypes, configChecks } from '@amphipod/plugins';
import { NoopPlugin } from './lib/noop-plugin.ts';
import { subjects } from './lib/subjects.ts';
import { call, failureOf, run, World } from './lib/world.ts';

/** What each needs beside `type` and `ipam`. */
const mainPlugins: Record<string, object> = {
  bridge: { bridge: 'dg0' },
  calico: { datastore_type: 'embedded', database: ':memory:', nodename: 'n1' },
  dummy: {},
  'host-device': { device: 'parent1' },
  ipvlan: { master: 'parent0' },
  macvlan: { master: 'parent0' },
  ptp: {},
  tap: {},
  vlan: { master: 'parent0', vlanId: 5 },
};
test('every plugin that makes interfaces of its own is in this list', () => {
  const makers = builtinPluginTypes.filter((type) => {
    const { isIpam = false, isChained = false } = configChecks[type]!;
    // The delegate of flannel is one of these plugins, and sriov needs a card: their own suites have what concerns them.
    return !isIpam && !isChained && !['loopback', 'flannel', 'sriov'].includes(type);
  });
  assert.deepEqual(makers, Object.keys(mainPlugins));
});

describe('delegation of verbs that make no interface', () => {
  const ours = subjects.find(({ name }) => name === 'ours in process')!;

  for (const [type, keys] of Object.entries(mainPlugins)) {
    test(`${type}: DEL, STATUS and GC reach the IPAM plugin, and its errors the caller`, async () => {
      using world = new World();
      const bin = world.makeDir('bin');
      const noop = new NoopPlugin(bin);
      const pluginDirs = [...ours.pluginDirs, bin];
      const widened = {
        ...ours,
        pluginDirs,
        invoker: createInvoker({ ...ours, pluginDirs, ownGroup: true }),
      };
      run('ip', 'link', 'add', 'parent0', 'type', 'veth', 'peer', 'name', 'parent1');
      run('ip', 'link', 'set', 'parent0', 'up');
      const config = (debug: object) => ({ type, ...keys, ipam: { type: 'noop', debug } });
      const verbs = ['DEL', 'STATUS', 'GC'] as const;
      for (const verb of verbs) await call(widened, verb, config({}), { validAttachments: [] });
      const calls = noop.calls();
      assert.deepEqual(
        calls.map(({ command }) => command),
        verbs,
      );
      const gc = JSON.parse(calls[2]!.stdin) as Record<string, unknown>;
      assert.deepEqual(gc['cni.dev/valid-attachments'], []);
      for (const verb of verbs) {
        const busy = config({ [verb]: { code: 50, msg: 'the pool is empty' } });
        const error = await failureOf(call(widened, verb, busy, { validAttachments: [] }));
        assert.match(error.message, /the pool is empty/, verb);
        if (verb === 'STATUS') assert.equal(error.number, 50);
      }
    });
  }
});
