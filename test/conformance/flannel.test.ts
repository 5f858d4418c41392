/** The plugin flannel: what its delegate is told, what is kept from ADD to DEL, and what it says while there is no subnet. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { createInvoker } from '@amphipod/cni';
import { NoopPlugin } from './lib/noop-plugin.ts';
import { lacksPlugin } from './lib/requirements.ts';
import { type Subject, subjects } from './lib/subjects.ts';
import {
  addresses,
  type Config,
  call,
  failureOf,
  link,
  linkNames,
  podLinks,
  routes,
  World,
} from './lib/world.ts';

const subnetEnv = `FLANNEL_NETWORK=10.244.0.0/16
FLANNEL_SUBNET=10.244.7.1/24
FLANNEL_IPV6_NETWORK=fc00:244::/48
FLANNEL_IPV6_SUBNET=fc00:244:0:7::1/64
FLANNEL_MTU=1430
FLANNEL_IPMASQ=true
`;

/** A subnet file and a configuration that uses it; everything is kept in the world's directory. */
function setUp(world: World, text: string | null = subnetEnv) {
  const subnetFile = join(world.dir, 'subnet.env');
  const dataDir = join(world.dir, 'flannel');
  if (text !== null) writeFileSync(subnetFile, text);
  const config: Config = {
    type: 'flannel',
    name: 'cbr0',
    subnetFile,
    dataDir,
    delegate: { bridge: 'cni9', hairpinMode: true },
    ipam: { dataDir: world.dataDir, routes: [{ dst: '10.99.0.0/16' }] } as never,
  };
  const kept = () => (existsSync(dataDir) ? readdirSync(dataDir) : []);
  return { config, dataDir, subnetFile, kept };
}

for (const subject of subjects.filter(({ isOurs }) => isOurs)) {
  describe(`flannel, ${subject.name}`, { skip: lacksPlugin(subject, 'flannel') }, () => cases(subject));
}

function cases(subject: Subject): void {
  test('ADD gives addresses of the node’s subnets, routes to the pods’ networks, the MTU; DEL takes all of it back', async () => {
    using world = new World();
    const { config, dataDir, subnetFile, kept } = setUp(world);
    const netns = world.netns('a');
    const result = await call(subject, 'ADD', config, { netns });
    assert.deepEqual(
      result.ips?.map(({ address }) => address),
      ['10.244.7.2/24', 'fc00:244:0:7::2/64'],
    );
    assert.deepEqual(addresses('eth0', netns).sort(), ['10.244.7.2/24', 'fc00:244:0:7::2/64']);
    assert.equal(link('eth0', netns)?.mtu, 1430);
    const ways = routes(netns).map(({ dst, gateway }) => `${dst} ${gateway}`);
    assert.ok(
      ways.includes('10.244.0.0/16 10.244.7.1') && ways.includes('10.99.0.0/16 10.244.7.1'),
      `${ways}`,
    );
    assert.deepEqual(addresses('cni9'), ['10.244.7.1/24', 'fc00:244:0:7::1/64']);
    const [name, ...more] = kept();
    assert.deepEqual(more, []);
    const file = join(dataDir, name!);
    assert.equal(statSync(file).mode & 0o777, 0o600);
    const own = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
    assert.deepEqual([own.type, own.name, own.ipMasq, own.isGateway], ['bridge', 'cbr0', false, true]);
    await call(subject, 'CHECK', config, { netns, prevResult: result });
    // The node has another subnet by now.
    writeFileSync(subnetFile, subnetEnv.replaceAll('10.244.7.', '10.244.8.'));
    await call(subject, 'DEL', config, { netns });
    assert.deepEqual([podLinks(netns), kept(), world.reservations('cbr0')], [[], [], []]);
    await call(subject, 'DEL', config, { netns });
  });

  test('a delegate of others is told its own configuration by every verb, and nothing of ours', async () => {
    using world = new World();
    const bin = world.makeDir('bin');
    const noop = new NoopPlugin(bin);
    const pluginDirs = [...subject.pluginDirs, bin];
    const widened = {
      ...subject,
      pluginDirs,
      invoker: createInvoker({ ...subject, pluginDirs, ownGroup: true }),
    };
    const { config } = setUp(world);
    const netns = world.netns('a');
    const runtimeConfig = { portMappings: [{ hostPort: 1, containerPort: 2 }] };
    const delegate = { type: 'noop', mtu: 1300 };
    const told = { ...config, delegate, runtimeConfig };
    await call(widened, 'ADD', told, { netns });
    await call(widened, 'CHECK', told, { netns, prevResult: {} });
    await call(widened, 'STATUS', told);
    await call(widened, 'GC', told, { validAttachments: [{ containerID: 'c1', ifName: 'eth0' }] });
    await call(widened, 'DEL', told, { netns });
    const calls = noop.calls();
    assert.deepEqual(
      calls.map(({ command }) => command),
      ['ADD', 'CHECK', 'STATUS', 'GC', 'DEL'],
    );
    for (const { stdin } of calls) {
      const { prevResult: _, ...own } = JSON.parse(stdin) as Record<string, unknown>;
      const valid = [{ containerID: 'c1', ifname: 'eth0' }];
      assert.deepEqual(
        { 'cni.dev/valid-attachments': valid, 'cni.dev/attachments': valid, ...own },
        {
          'cni.dev/valid-attachments': valid,
          'cni.dev/attachments': valid,
          type: 'noop',
          name: 'cbr0',
          cniVersion: subject.cniVersion,
          ipMasq: false,
          mtu: 1300,
          runtimeConfig,
          ipam: {
            type: 'host-local',
            dataDir: world.dataDir,
            ranges: [[{ subnet: '10.244.7.0/24' }], [{ subnet: 'fc00:244:0:7::/64' }]],
            routes: [{ dst: '10.99.0.0/16' }, { dst: '10.244.0.0/16' }, { dst: 'fc00:244::/48' }],
          },
        },
      );
    }
  });

  test('DEL takes away what an ADD was writing when it was killed', async () => {
    using world = new World();
    const { config, dataDir, kept } = setUp(world);
    mkdirSync(dataDir, { recursive: true });
    const pod = { containerID: 'killed', netns: world.netns('a') };
    writeFileSync(join(dataDir, 'killed:eth0.tmp'), '{');
    await call(subject, 'DEL', config, pod);
    assert.deepEqual(kept(), []);
  });

  test('two interfaces of one container are both released', async () => {
    using world = new World();
    const { config, kept } = setUp(world);
    const netns = world.netns('a');
    for (const ifName of ['eth0', 'net1']) await call(subject, 'ADD', config, { netns, ifName });
    assert.equal(world.reservations('cbr0').length, 4);
    for (const ifName of ['eth0', 'net1']) await call(subject, 'DEL', config, { netns, ifName });
    assert.deepEqual([podLinks(netns), kept(), world.reservations('cbr0')], [[], [], []]);
  });

  test('OVL-05: without a whole subnet file ADD says "overlay not ready" at once, STATUS too, and nothing is left', async () => {
    using world = new World();
    const netns = world.netns('a');
    for (const text of [null, '', subnetEnv.slice(0, 40)]) {
      const { config, kept } = setUp(world, text);
      const error = await failureOf(call(subject, 'ADD', config, { netns }));
      assert.equal(error.number, 11);
      assert.match(error.message, /overlay not ready: .*subnet\.env"/);
      const status = await failureOf(call(subject, 'STATUS', config));
      assert.equal(status.number, 50);
      assert.match(status.message, /overlay not ready/);
      await call(subject, 'DEL', config, { netns });
      assert.deepEqual([podLinks(netns), kept(), linkNames()], [[], [], ['lo']]);
    }
    const { config } = setUp(world);
    await call(subject, 'STATUS', config);
  });

  test('an ADD whose delegate fails leaves nothing', async () => {
    using world = new World();
    const { config, kept } = setUp(world);
    const netns = world.netns('a');
    const wrong = { ...config, delegate: { bridge: 'lo' } };
    await failureOf(call(subject, 'ADD', wrong, { netns }));
    assert.deepEqual([podLinks(netns), kept(), world.reservations('cbr0')], [[], [], []]);
  });

  test('what is wrong in the configuration is refused with its key', async () => {
    using world = new World();
    const { config } = setUp(world);
    const netns = world.netns('a');
    const cases: [object, RegExp][] = [
      [{ name: 'x' }, /'delegate' dictionary must not have 'name' field/],
      [{ ipam: {} }, /'delegate' dictionary must not have 'ipam' field/],
      [{ type: 7 }, /delegate\.type/],
      [{ type: 'flannel' }, /"flannel" is its own delegate/],
    ];
    for (const [delegate, message] of cases) {
      const error = await failureOf(call(subject, 'ADD', { ...config, delegate }, { netns }));
      assert.match(error.message, message);
    }
  });

  test('a pod that flannel’s own plugin added is released', async () => {
    using world = new World();
    const { config, dataDir, kept } = setUp(world);
    const netns = world.netns('a');
    await call(subject, 'ADD', config, { netns });
    const [name] = kept();
    const text = readFileSync(join(dataDir, name!), 'utf8');
    await call(subject, 'DEL', config, { netns });
    await call(subject, 'ADD', { ...JSON.parse(text) } as Config, { netns });
    writeFileSync(join(dataDir, name!.split(':')[0]!), text);
    await call(subject, 'DEL', config, { netns });
    assert.deepEqual([podLinks(netns), kept(), world.reservations('cbr0')], [[], [], []]);
  });

  test('CHECK of what was never added fails; GC takes what is stale, and only that', async () => {
    using world = new World();
    const { config, kept } = setUp(world);
    const netns = world.netns('a');
    const error = await failureOf(call(subject, 'CHECK', config, { netns, prevResult: {} }));
    assert.match(error.message, /no configuration of eth0/);
    for (const ifName of ['eth0', 'net1']) await call(subject, 'ADD', config, { netns, ifName });
    const containerID = kept()[0]!.split(':')[0]!;
    await call(subject, 'GC', config, { validAttachments: [{ containerID, ifName: 'eth0' }] });
    assert.deepEqual(kept(), [`${containerID}:eth0`]);
    assert.equal(world.reservations('cbr0').length, 2);
    assert.deepEqual(podLinks(netns), ['eth0']);
  });
}
