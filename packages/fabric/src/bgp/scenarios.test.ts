// Calico's scenarios of BGP, by the names that its own tests give them.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { formatCidr, formatIp, parseCidr, parseIp } from '@amphipod/netlink';
import { localPrefOf } from './local-pref.ts';
import { renderBird } from './render-bird.ts';
import { testConfiguration, testFacts, testNode, testPeer, testPool } from './testing.ts';
import { exported, fromBgp, names, route, session, toKernel, wanted } from './testing-judge.ts';
import { wantedBird } from './wanted-bird.ts';

const B = 'Mesh_192_0_2_2';
const ownBlock = { blocks: [{ node: 'a', cidr: parseCidr('10.0.1.0/26') }] };

suite('mesh', () => {
  test('mesh/ipip-off: every node is a peer in both families, and the kernel gets what is of peers', () => {
    const bird = wanted();
    assert.deepEqual(
      bird.sessions.map(({ bgp }) => bgp.name),
      ['Mesh_192_0_2_2', 'Mesh_192_0_2_3', 'Mesh_2001_db8__2', 'Mesh_2001_db8__3'],
    );
    const { localAs, neighborAs, localAddress } = session(bird, B);
    assert.deepEqual([localAs, neighborAs, formatIp(localAddress!)], [64512, 64512, '192.0.2.1']);
    assert.equal(toKernel(bird, route('10.0.2.0/26', fromBgp)).accepted, true);
    assert.equal(toKernel(bird, route('10.0.2.0/26', fromBgp)).route.metric, 1024);
    assert.equal(toKernel(bird, route('0.0.0.0/0')).accepted, false);
  });

  for (const [name, spec] of [
    ['mesh/vxlan-always', { vxlanMode: 'Always' }],
    ['mesh/ipip-always', { ipipMode: 'Always' }],
    ['mesh/ipip-cross-subnet', { ipipMode: 'CrossSubnet' }],
  ] as const) {
    test(`${name}: routes of the pool are not BIRD's to write, and are told to peers all the same`, () => {
      const bird = wanted({ pools: [testPool('blue', '10.0.0.0/16', spec)] });
      const verdict = toKernel(bird, route('10.0.2.0/26', fromBgp));
      assert.equal(verdict.accepted, false);
      assert.equal(verdict.why, 'IPPool "blue" has its routes written by the agent');
      assert.equal(
        exported(bird, B, route('10.0.2.0/26', { source: 'static', isUnicast: false })).accepted,
        true,
      );
      const tunnelled = route('10.0.2.0/26', { interfaceName: 'vxlan.calico' });
      assert.equal(exported(bird, B, tunnelled).accepted, false);
    });
  }

  test('mesh/bgp-export: a pool with disableBGPExport is told to nobody, with its name as the reason', () => {
    const pools = [
      testPool('blue', '10.0.0.0/16', { disableBGPExport: true, disabled: true }),
      testPool('red', '10.1.0.0/16'),
    ];
    const bird = wanted({ pools });
    assert.deepEqual(
      [exported(bird, B, route('10.0.1.0/26')).why, exported(bird, B, route('10.1.1.0/26')).accepted],
      ['IPPool "blue" is not told to peers: disableBGPExport', true],
    );
  });

  test('mesh/communities: prefixes are told with their communities, by name and by value, large ones too', () => {
    const bird = wanted({
      configurations: [
        testConfiguration('default', {
          communities: [{ name: 'near', value: '65000:100' }],
          prefixAdvertisements: [{ cidr: '10.0.0.0/16', communities: ['near', '65000:1:2'] }],
        }),
      ],
    });
    assert.deepEqual(exported(bird, B, route('10.0.1.0/26')).route.communities, ['65000:100', '65000:1:2']);
  });

  test('mesh/hash: a node without an IPv4 address has a router id all the same, always the same', () => {
    const nodes = ['a', 'b'].map((name, i) => testNode(name, { ipv6Address: `2001:db8::${i + 1}/64` }));
    const bird = wanted({ nodes });
    assert.deepEqual(
      bird.sessions.map(({ bgp }) => bgp.name),
      ['Mesh_2001_db8__2'],
    );
    assert.deepEqual(bird.config.routerId, wanted({ nodes: nodes.toReversed() }).config.routerId);
    assert.ok(bird.config.routerId.value > 0n);
  });

  test('mesh/password: the mesh has the password; while it is not there nobody is a peer without', () => {
    const configurations = [
      testConfiguration('default', { nodeMeshPassword: { secretKeyRef: { name: 'bgp', key: 'mesh' } } }),
    ];
    const with1 = wanted({ configurations, password: (name, key) => `${name}/${key}` });
    assert.equal(session(with1, B).password, 'bgp/mesh');
    const without = wanted({ configurations });
    assert.deepEqual(without.sessions, []);
    assert.equal(without.problems[0]!.why, 'its password is not there: key "mesh" of secret "bgp"');
  });

  test('mesh/restart-time', () => {
    const bird = wanted({
      configurations: [testConfiguration('default', { nodeMeshMaxRestartTime: '10s' })],
    });
    assert.equal(session(bird, B).restartSeconds, 10);
  });

  test('mesh/route-reflector-mesh-enabled: route reflectors have no part in the mesh', () => {
    const nodes = [
      testNode('a', { ipv4Address: '192.0.2.1/24' }),
      testNode('b', { ipv4Address: '192.0.2.2/24' }),
      testNode('r', { ipv4Address: '192.0.2.9/24', routeReflectorClusterID: '10.0.0.9' }),
    ];
    assert.deepEqual(names({ nodes }), [B]);
    assert.deepEqual(names({ nodes, nodeName: 'r' }), []);
  });

  test('mesh/static-routes: networks of services are told as a whole, written to no kernel', () => {
    const serviceClusterIPs = [{ cidr: '10.101.0.0/16' }];
    const bird = wanted({
      configurations: [
        testConfiguration('default', { serviceClusterIPs, serviceExternalIPs: [{ cidr: '80.15.0.0/24' }] }),
      ],
    });
    const isStatic = { source: 'static', isUnicast: false } as const;
    for (const network of ['10.101.0.0/16', '80.15.0.0/24']) {
      assert.equal(exported(bird, B, route(network, isStatic)).accepted, true, network);
      assert.equal(toKernel(bird, route(network, isStatic)).accepted, false, network);
      assert.match(renderBird(bird.config), new RegExp(`route ${network} blackhole;`));
    }
  });

  test('mesh/static-routes-exclude-node: a node with the label tells of no services', () => {
    const nodes = [
      testNode(
        'a',
        { ipv4Address: '192.0.2.1/24' },
        { 'node.kubernetes.io/exclude-from-external-load-balancers': 'true' },
      ),
      testNode('b', { ipv4Address: '192.0.2.2/24' }),
    ];
    const configurations = [testConfiguration('default', { serviceClusterIPs: [{ cidr: '10.101.0.0/16' }] })];
    assert.doesNotMatch(renderBird(wanted({ nodes, configurations }).config), /10\.101/);
    assert.match(renderBird(wanted({ nodes, configurations, nodeName: 'b' }).config), /10\.101/);
  });

  test('mesh/static-routes-no-ipv4-address', () => {
    const configurations = [testConfiguration('default', { serviceClusterIPs: [{ cidr: '10.101.0.0/16' }] })];
    const nodes = [testNode('a', { ipv6Address: '2001:db8::1/64' })];
    assert.doesNotMatch(renderBird(wanted({ nodes, configurations }).config), /10\.101/);
  });

  test('a node without an address has no BIRD', () => {
    assert.equal(wantedBird(testFacts({ nodes: [] })), undefined);
    assert.equal(wantedBird(testFacts({ nodes: [testNode('a', { asNumber: 64512 })] })), undefined);
  });
});

suite('cluster_routes, felix_cluster_routing', () => {
  for (const [mode, accepted] of [
    ['Enabled', true],
    ['EnabledNoEncapOnly', true],
    ['EnabledIPIPOnly', false],
    ['Disabled', false],
  ] as const) {
    test(`programClusterRoutes ${mode}`, () => {
      const bird = wanted({ configurations: [testConfiguration('default', { programClusterRoutes: mode })] });
      assert.equal(toKernel(bird, route('10.0.2.0/26', fromBgp)).accepted, accepted);
      // What is in no pool is nobody else's to write.
      assert.equal(toKernel(bird, route('172.16.0.0/24', fromBgp)).accepted, true);
    });
  }
});

test('aggregation: the block is told, what is in it only when it is preferred', () => {
  const bird = wanted(ownBlock);
  const verdicts = [
    route('10.0.1.0/26', { source: 'static', isUnicast: false }),
    route('10.0.1.5/32', { interfaceName: 'cali123', metric: 1024 }),
    // The kernel's number for none.
    route('10.0.1.5/32', { interfaceName: 'cali123', metric: 0 }),
    route('10.0.1.5/32', { interfaceName: 'cali123', metric: 512 }),
    // An address of another node's block lives here.
    route('10.0.9.5/32', { interfaceName: 'cali123' }),
    route('203.0.113.0/24'),
  ].map((one) => exported(bird, B, one));
  assert.deepEqual(
    verdicts.map(({ accepted }) => accepted),
    [true, false, false, true, true, false],
  );
  assert.equal(verdicts[1]!.why, 'it is in a block of this node, which is told as a whole');
  assert.equal(verdicts[3]!.route.localPref, localPrefOf(512));
  assert.equal(verdicts[5]!.why, 'it is in no pool, and no service range');
});

test('ignored_interfaces: routes of pods and of ignored interfaces are not read from their addresses', () => {
  const text = renderBird(
    wanted({ configurations: [testConfiguration('default', { ignoredInterfaces: ['eth9', 'br-*'] })] })
      .config,
  );
  assert.match(text, /interface -"cali\*", -"kube-ipvs\*", -"eth9", -"br-\*", "\*";/);
});

suite('the same peer, the same address', () => {
  test('a node that a BGPPeer names is no peer of the mesh as well', () => {
    assert.deepEqual(
      names({ peers: [testPeer('p', { peerIP: '192.0.2.2', asNumber: 64512 })] }).filter((name) =>
        name.endsWith('_192_0_2_2'),
      ),
      ['Global_192_0_2_2'],
    );
  });

  test('BGP-04: of two nodes with the same address both are named, and nobody loses another peer', () => {
    const nodes = ['a', 'b', 'c', 'd'].map((name, i) =>
      testNode(name, { ipv4Address: `192.0.2.${[1, 2, 2, 1][i]}/24` }),
    );
    const bird = wanted({ nodes });
    assert.deepEqual(
      bird.sessions.map(({ bgp }) => bgp.name),
      [B],
    );
    assert.deepEqual(
      bird.problems.map(({ subject, why }) => `${subject}: ${why}`),
      [
        'node "d": it has our own address 192.0.2.1, as node "a" has',
        'node "c": 192.0.2.2 port 179 is the peer of node "b" as well',
      ],
    );
  });

  test('listenPort and bindMode', () => {
    const bird = wanted({
      configurations: [testConfiguration('default', { listenPort: 1790, bindMode: 'NodeIP' })],
    });
    const { localPort, neighborPort, strictBind } = session(bird, `${B}_port_1790`);
    assert.deepEqual([localPort, neighborPort, strictBind], [1790, 1790, true]);
  });

  test('the networks of static routes are written once', () => {
    const twice = { blocks: [...ownBlock.blocks, ...ownBlock.blocks] };
    const { config } = wanted(twice);
    const networks = config.protocols.flatMap((one) =>
      one.type === 'static' ? one.routes.map(({ network }) => formatCidr(network)) : [],
    );
    assert.deepEqual(networks, ['10.0.1.0/26']);
    assert.deepEqual(parseIp('192.0.2.1'), config.routerId);
  });
});
