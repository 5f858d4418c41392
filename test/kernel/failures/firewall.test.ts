import assert from 'node:assert/strict';
import { test } from 'node:test';
import { run, World } from '../../conformance/lib/world.ts';
import { failEveryStep } from './fail-every-step.ts';

const ipam = (dataDir: string) => ({
  type: 'host-local',
  ranges: [[{ subnet: '10.99.0.0/24' }], [{ subnet: 'fd00:99::/64' }]],
  dataDir,
});
const bridge = (dataDir: string) => ({ type: 'bridge', bridge: 'tb0', ipam: ipam(dataDir) });
const sharedChains = { '^(nft|iptables)\\.host': 'the chains that pods share' };
const localnet = { '^sysctls\\.host\\..*route_localnet$': 'another pod may have come to need it' };
const tables = { '^nft\\.host': 'tables without rules or elements' };

for (const backend of ['nftables', 'iptables']) {
  test(`firewall with ${backend}: each step fails, and nothing is left`, async () => {
    using world = new World();
    const netns = world.netns('pod');
    const firewall = { type: 'firewall', backend, ingressPolicy: 'isolated' };
    const plugins = [bridge(world.dataDir), firewall];
    const first = await failEveryStep({
      world,
      netns,
      plugins,
      isFirst: true,
      mayStay: tables,
      staysAfterDel: sharedChains,
    });
    run('nft', 'flush', 'ruleset');
    assert.ok(first.length >= 3, first.join('\n'));
  });

  test(`firewall with ${backend}, a further pod: each step fails, and nothing is left`, async () => {
    using world = new World();
    const plugins = [bridge(world.dataDir), { type: 'firewall', backend }];
    const steps = await failEveryStep({ world, netns: world.netns('pod'), plugins, mayStay: tables });
    // Two looks for each family and the change; or whose the addresses are, and two programs for each family.
    assert.equal(steps.length, 5, steps.join('\n'));
  });
}

/** The empty built-in chains, which iptables makes at its first use and never removes. */
function makeNatTables(): void {
  for (const program of ['iptables', 'ip6tables'])
    for (const command of ['-N', '-X']) run(program, '-t', 'nat', command, 'unused');
}

test('portmap with iptables: each step fails, and nothing is left', async () => {
  using world = new World();
  const portMappings = [
    { hostPort: 8080, containerPort: 80, protocol: 'tcp' },
    { hostPort: 5353, containerPort: 53, protocol: 'udp' },
  ];
  makeNatTables();
  const portmap = { type: 'portmap', backend: 'iptables', runtimeConfig: { portMappings } };
  const options = { world, netns: world.netns('pod'), plugins: [bridge(world.dataDir), portmap] };
  const mayStay = { ...tables, ...localnet };
  const steps = await failEveryStep({ ...options, isFirst: true, mayStay, staysAfterDel: sharedChains });
  assert.ok(
    steps.some((step) => step.includes('ip6tables-restore')),
    steps.join('\n'),
  );
});

for (const isFirst of [true, false]) {
  test(`portmap with nftables, ${isFirst ? 'the first pod' : 'a further pod'}: each step fails, and nothing is left`, async () => {
    using world = new World();
    const portMappings = [
      { hostPort: 8080, containerPort: 80, protocol: 'tcp' },
      { hostPort: 5353, containerPort: 53, protocol: 'udp', hostIP: '192.0.2.7' },
      { hostPort: 9999, containerPort: 99, protocol: 'sctp' },
    ];
    const portmap = { type: 'portmap', masqAll: true, runtimeConfig: { portMappings } };
    const plugins = [{ ...bridge(world.dataDir), isGateway: true }, portmap];
    const mayStay = { ...tables, ...localnet };
    const steps = await failEveryStep({ world, netns: world.netns('pod'), plugins, isFirst, mayStay });
    // The maps of both families in one transaction, the way to the pod (two), flows of UDP; nothing that grows with the pods.
    if (!isFirst) assert.equal(steps.length, 4, steps.join('\n'));
  });
}

test('portmap with conditions of nft: each step fails, and nothing is left', async () => {
  using world = new World();
  const portMappings = [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }];
  const conditionsV4 = ['ip', 'saddr', '!=', '192.0.2.0/24'];
  const portmap = { type: 'portmap', conditionsV4, runtimeConfig: { portMappings } };
  const mayStay = { ...tables, ...localnet };
  const plugins = [bridge(world.dataDir), portmap];
  const steps = await failEveryStep({ world, netns: world.netns('pod'), plugins, isFirst: true, mayStay });
  assert.ok(steps.includes('spawn nft'), steps.join('\n'));
});

test('masquerading with iptables: each step fails, and nothing is left', async () => {
  using world = new World();
  const masqueraded = { ...bridge(world.dataDir), ipMasq: true, ipMasqBackend: 'iptables' };
  const mayStay = {
    ...tables,
    '^files\\..*(lock|last_reserved_ip\\.\\d)': 'the state of the pool',
    '^sysctls\\.pod\\..*/(lo|all)/': 'settings of the pod, whose namespace goes with it',
  };
  const steps = await failEveryStep({ world, netns: world.netns('pod'), plugins: [masqueraded], mayStay });
  assert.ok(steps.filter((step) => step.startsWith('spawn')).length >= 2, steps.join('\n'));
});
