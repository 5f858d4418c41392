// What somebody else breaks on a node is mended, and the other nodes do not notice.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { openEmbeddedDatastore } from '@amphipod/fabric';
import { formatCidr, type IpFamily } from '@amphipod/netlink';
import { createCluster, type TestNode, type UnderlayKind, until } from './nodes.ts';
import {
  dualStack,
  overlayDevices,
  type RunningNode,
  startAll,
  stopAll,
  untilAllReach,
  untilNothingToMend,
} from './overlays.ts';
import { startTraffic } from './traffic.ts';

/** A command that breaks something on a node; `subnet` is that of another one. */
type Damage = (context: { family: IpFamily; device: string; subnet: string }) => string[];

const ofDevices: Record<string, Damage> = {
  'the device is deleted': ({ device }) => ['ip', 'link', 'del', device],
  'the device is set down': ({ device }) => ['ip', 'link', 'set', device, 'down'],
  'the forwarding entries are flushed': ({ device }) => ['bridge', 'fdb', 'flush', 'dev', device],
  'the neighbours are flushed': ({ family, device }) => [
    'ip',
    `-${family}`,
    'neigh',
    'flush',
    'dev',
    device,
    'nud',
    'permanent',
  ],
  'the addresses are flushed': ({ family, device }) => ['ip', `-${family}`, 'addr', 'flush', 'dev', device],
};
const ofRoutes: Record<string, Damage> = {
  'the routes are flushed': ({ family }) => ['ip', `-${family}`, 'route', 'flush', 'proto', '97'],
  'a route is replaced by one that leads nowhere': ({ family, subnet }) => [
    'ip',
    `-${family}`,
    'route',
    'replace',
    'blackhole',
    subnet,
  ],
};
const ofRules: Record<string, Damage> = {
  'the rules are flushed': () => ['nft', 'flush', 'ruleset'],
  'a rule is added in front': () => ['nft', 'insert', 'rule', 'inet', 'amphipod_overlay', 'forward', 'drop'],
};

const shapes: { name: string; backend: object; kind: UnderlayKind; damages: Record<string, Damage> }[] = [
  { name: 'vxlan', backend: { Type: 'vxlan' }, kind: 'routed', damages: { ...ofDevices, ...ofRoutes } },
  {
    name: 'vxlan with DirectRouting',
    backend: { Type: 'vxlan', DirectRouting: true },
    kind: 'switched',
    damages: ofRoutes,
  },
  { name: 'host-gw', backend: { Type: 'host-gw' }, kind: 'switched', damages: ofRoutes },
];

/** Everything that the overlay has on a node. */
function look({ netns }: TestNode): string {
  const devices = Object.values(overlayDevices).filter((device) => netns.run('ip', 'link').includes(device));
  const lines = [
    ['ip', '-4', 'route', 'show', 'proto', '97'],
    ['ip', '-6', 'route', 'show', 'proto', '97'],
    ...devices.flatMap((device) => [
      ['bridge', 'fdb', 'show', 'dev', device],
      ['ip', 'neigh', 'show', 'dev', device, 'nud', 'permanent'],
      ['ip', '-brief', 'addr', 'show', 'dev', device, 'scope', 'global'],
    ]),
  ].flatMap(([command, ...args]) => netns.run(command!, ...args).split('\n'));
  return [...lines.map((line) => line.trim()).toSorted(), netns.run('nft', 'list', 'ruleset')].join('\n');
}

for (const { name, backend, kind, damages } of shapes) {
  suite(name, () => {
    for (const [what, damage] of Object.entries(damages)) {
      for (const family of [4, 6] as const) {
        test(`IPv${family}: ${what}`, (t) =>
          breakAndMend({ backend, kind, family, damage, tell: (line) => t.diagnostic(line) }));
      }
    }
  });
}

suite('rules', () => {
  for (const [what, damage] of Object.entries(ofRules)) {
    test(what, (t) =>
      breakAndMend({
        backend: { Type: 'vxlan' },
        kind: 'routed',
        family: 4,
        damage,
        tell: (line) => t.diagnostic(line),
      }),
    );
  }
});

interface Breakage {
  backend: object;
  kind: UnderlayKind;
  family: IpFamily;
  damage: Damage;
  tell: (line: string) => void;
}

async function breakAndMend({ backend, kind, family, damage, tell }: Breakage): Promise<void> {
  using cluster = createCluster(3, kind);
  await using store = openEmbeddedDatastore(':memory:');
  const running = await startAll(cluster.nodes, store, dualStack(backend));
  try {
    const [first, second, third] = running as [RunningNode, RunningNode, RunningNode];
    const { node, syncs, overlay } = first;
    const { mtu } = overlay;
    await untilAllReach({ nodes: cluster.nodes, mtu });
    await untilNothingToMend(first);
    const before = look(node);
    const count = syncs.length;
    const { lease } = second.overlay;
    const subnet = formatCidr(family === 4 ? lease.subnet! : lease.ipv6Subnet!);
    await using stack = new AsyncDisposableStack();
    const others = third.node.podIps.map((ip) => stack.use(startTraffic(second.node.pod, ip)));
    await Promise.all(others.map((traffic) => traffic.untilAnswered(1)));
    const [command, ...args] = damage({ family, device: overlayDevices[family], subnet }) as [
      string,
      ...string[],
    ];
    node.netns.run(command, ...args);
    const start = performance.now();
    await until('it is mended', () => syncs.slice(count).some(({ mended }) => mended > 0));
    tell(`mended ${Math.round(performance.now() - start)} ms after the command`);
    await until('all is as before', () => look(node) === before);
    await untilNothingToMend(first);
    await untilAllReach({ nodes: cluster.nodes, mtu });
    await Promise.all(others.map((traffic) => traffic.untilAnswered(3)));
    assert.deepEqual(
      others.map((traffic) => traffic.count().lost),
      [0, 0],
    );
  } finally {
    await stopAll(running);
  }
}
