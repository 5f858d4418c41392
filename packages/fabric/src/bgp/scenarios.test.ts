// Calico's scenarios of BGP, by the names that its own tests give them.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { formatCidr, formatIp, parseCidr, parseIp } from '@amphipod/netlink';
import type { BgpFacts } from './bgp-facts.ts';
import type { BirdBgp } from './bird-config.ts';
import { type JudgedRoute, judgeRoute, type Verdict } from './judge-route.ts';
import { localPrefOf } from './local-pref.ts';
import { renderBird, sessionsOf } from './render-bird.ts';
import { testConfiguration, testFacts, testFilter, testNode, testPeer, testPool } from './testing.ts';
import { type WantedBird, wantedBird } from './wanted-bird.ts';

function wanted(more: Partial<BgpFacts> = {}): WantedBird {
  return wantedBird(testFacts(more))!;
}

function names(more: Partial<BgpFacts>): string[] {
  return wanted(more).sessions.map(({ bgp }) => bgp.name);
}

function session(bird: WantedBird, name: string): BirdBgp {
  const found = bird.sessions.find(({ bgp }) => bgp.name === name);
  assert.ok(found, `there is ${name} in ${bird.sessions.map(({ bgp }) => bgp.name)}`);
  return found.bgp;
}

function route(network: string, more: Partial<JudgedRoute> = {}): JudgedRoute {
  const base = { source: 'other', isUnicast: true, communities: [], asPath: [] } as const;
  return { network: parseCidr(network), ...base, ...more };
}

const exported = (bird: WantedBird, to: string, one: JudgedRoute): Verdict =>
  judgeRoute(bird.config, session(bird, to).exportFilter, one);
const imported = (bird: WantedBird, from: string, one: JudgedRoute): Verdict =>
  judgeRoute(bird.config, session(bird, from).importFilter, one);
const toKernel = (bird: WantedBird, one: JudgedRoute): Verdict =>
  judgeRoute(bird.config, `to_kernel${one.network.ip.family}`, one);
const fromBgp = { source: 'bgp', localPref: localPrefOf(1024) } as const;

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

suite('explicit_peering', () => {
  const off = { configurations: [testConfiguration('default', { nodeToNodeMeshEnabled: false })] };

  test('explicit_peering/global, global-external, global-ipv6: every node has the peer, with its port', () => {
    const peers = [
      testPeer('four', { peerIP: '198.51.100.1:166', asNumber: 64567 }),
      testPeer('six', { peerIP: '[2001:db8:1::1]:1790', asNumber: 64568 }),
    ];
    const bird = wanted({ ...off, peers });
    assert.deepEqual(
      bird.sessions.map(({ bgp }) => bgp.name),
      ['Global_198_51_100_1_port_166', 'Global_2001_db8_1__1_port_1790'],
    );
    assert.equal(session(bird, 'Global_198_51_100_1_port_166').neighborAs, 64567);
  });

  test('explicit_peering/specific_node: only the node that is named has the peer', () => {
    const peers = [testPeer('one', { node: 'b', peerIP: '198.51.100.1', asNumber: 64567 })];
    assert.deepEqual(names({ ...off, peers }), []);
    assert.deepEqual(names({ ...off, peers, nodeName: 'b' }), ['Node_198_51_100_1']);
  });

  const racks = [
    testNode('a', { ipv4Address: '192.0.2.1/24' }, { rack: '1' }),
    testNode('b', { ipv4Address: '192.0.2.2/24' }, { rack: '1' }),
    testNode('r', { ipv4Address: '192.0.2.9/24', routeReflectorClusterID: '10.0.0.9' }, { rr: 'yes' }),
    testNode('s', { ipv4Address: '192.0.2.10/24', routeReflectorClusterID: '10.0.0.9' }, { rr: 'yes' }),
  ];
  const reflected = [testPeer('rr', { nodeSelector: "rack == '1'", peerSelector: "rr == 'yes'" })];

  test('explicit_peering/selectors: nodes are peers by their labels, with their own ports', () => {
    const configurations = [...off.configurations, testConfiguration('node.r', { listenPort: 500 })];
    assert.deepEqual(names({ nodes: racks, peers: reflected, configurations }), [
      'Node_192_0_2_10',
      'Node_192_0_2_9_port_500',
    ]);
  });

  test('explicit_peering/route_reflector: other nodes are clients, of the same cluster none is', () => {
    const peers = [
      ...reflected,
      testPeer('between', { nodeSelector: "rr == 'yes'", peerSelector: "rr == 'yes'" }),
    ];
    const bird = wanted({ ...off, nodes: racks, peers, nodeName: 'r' });
    assert.deepEqual(
      bird.sessions.map(({ bgp: { name, routeReflectorClusterId: id } }) => [name, id && formatIp(id)]),
      [
        ['Node_192_0_2_1', '10.0.0.9'],
        ['Node_192_0_2_10', undefined],
        ['Node_192_0_2_2', '10.0.0.9'],
      ],
    );
    assert.equal(
      session(wanted({ ...off, nodes: racks, peers }), 'Node_192_0_2_9').routeReflectorClusterId,
      undefined,
    );
  });

  test('explicit_peering/route_reflector_v6_by_ip: a peer that is named by its address is known as the node', () => {
    const nodes = [
      testNode('a', { ipv6Address: '2001:db8::1/64' }),
      testNode('r', { ipv6Address: '2001:db8::9/64', routeReflectorClusterID: '10.0.0.9' }),
    ];
    const peers = [
      testPeer('to-r', { node: 'a', peerIP: '2001:db8::9', asNumber: 64512 }),
      testPeer('to-a', { node: 'r', peerIP: '2001:db8::1', asNumber: 64512 }),
    ];
    const bird = wanted({ ...off, nodes, peers, nodeName: 'r' });
    assert.equal(formatIp(session(bird, 'Node_2001_db8__1').routeReflectorClusterId!), '10.0.0.9');
    assert.deepEqual(names({ ...off, nodes, peers }), ['Node_2001_db8__9']);
  });

  test('reverse_peering/auto, reverse_peering/manual', () => {
    const named = (reversePeering: 'Auto' | 'Manual') =>
      names({
        ...off,
        nodes: racks,
        nodeName: 'r',
        peers: [testPeer('rr', { ...reflected[0]!.spec, reversePeering })],
      });
    assert.deepEqual(named('Auto'), ['Node_192_0_2_1', 'Node_192_0_2_2']);
    assert.deepEqual(named('Manual'), []);
  });

  test('explicit_peering/keepnexthop, next_hop_mode: deprecated for external peers only, the mode for all', () => {
    const nextHop = (spec: object, asNumber: number) =>
      session(
        wanted({ ...off, peers: [testPeer('p', { peerIP: '198.51.100.1', asNumber, ...spec })] }),
        'Global_198_51_100_1',
      ).nextHop;
    assert.deepEqual(
      [
        nextHop({ keepOriginalNextHop: true }, 64533),
        nextHop({ keepOriginalNextHop: true }, 64512),
        nextHop({ nextHopMode: 'Keep' }, 64512),
        nextHop({ nextHopMode: 'Self' }, 64512),
        nextHop({}, 64533),
      ],
      ['keep', 'auto', 'keep', 'self', 'auto'],
    );
  });

  for (const name of ['local-as', 'local-as-global', 'local-as-ipv6', 'local-as-global-ipv6']) {
    test(`explicit_peering/${name}`, () => {
      const peerIP = name.endsWith('ipv6') ? '2001:db8:1::1' : '198.51.100.1';
      const scope = name.includes('global') ? {} : { node: 'a' };
      const peers = [
        testPeer('p', {
          ...scope,
          peerIP,
          asNumber: 64566,
          localASNumber: 65001,
          numAllowedLocalASNumbers: 1,
        }),
      ];
      const [only] = wanted({ ...off, peers }).sessions;
      assert.deepEqual([only!.bgp.localAs, only!.bgp.allowedLocalAs, only!.sameAs], [65001, 1, false]);
      assert.equal(only!.bgp.name.startsWith(name.includes('global') ? 'Global' : 'Node'), true);
    });
  }

  test('explicit_peering/local_bgp_peer: pods of this node that ask are peers, and begin the session', () => {
    const endpoint = (node: string, ip: string) => ({
      kind: 'WorkloadEndpoint' as const,
      apiVersion: 'projectcalico.org/v3' as const,
      metadata: { name: `${node}-${ip}`, namespace: 'default', labels: { color: 'red' } },
      spec: { node, ipNetworks: [`${ip}/32`] },
    });
    const bird = wanted({
      ...off,
      endpoints: [endpoint('a', '10.0.1.5'), endpoint('b', '10.0.2.5')],
      peers: [
        testPeer('pods', { localWorkloadSelector: "color == 'red'", asNumber: 64516, localASNumber: 65002 }),
      ],
    });
    const [only] = bird.sessions;
    assert.equal(bird.sessions.length, 1);
    const { name, passive, localAs, neighborAs } = only!.bgp;
    assert.deepEqual([name, passive, localAs, neighborAs], ['Local_Workload_10_0_1_5', true, 65002, 64516]);
  });

  test('sourceaddr_gracefulrestart, ttl_security/{explicit_node,global,peer_selector}', () => {
    const peers = [
      testPeer('p', {
        peerIP: '198.51.100.1',
        asNumber: 1,
        sourceAddress: 'None',
        maxRestartTime: '10s',
        ttlSecurity: 1,
      }),
    ];
    const text = sessionsOf(renderBird(wanted({ ...off, peers }).config)).get('Global_198_51_100_1')!;
    assert.match(text, /^ {2}local as 64512;\n/);
    assert.match(text, /multihop 1;\n {2}ttl security on;\n/);
    assert.match(text, /graceful restart time 10;/);
  });

  for (const name of ['reachable_by/global_peers', 'reachable_by/route_reflectors']) {
    test(`${name}: the way to the peer is a static route, written to the kernel`, () => {
      const peers = [testPeer('p', { peerIP: '10.225.0.4', asNumber: 65515, reachableBy: '192.0.2.254' })];
      const bird = wanted({ ...off, peers });
      assert.match(renderBird(bird.config), /route 10\.225\.0\.4\/32 via 192\.0\.2\.254;/);
      assert.equal(toKernel(bird, route('10.225.0.4/32', { source: 'static' })).accepted, true);
      assert.equal(
        exported(bird, 'Global_10_225_0_4', route('10.225.0.4/32', { source: 'static' })).accepted,
        false,
      );
    });
  }

  test('password, password-deadlock: a peer whose secret comes later is there once it comes', () => {
    const peers = [
      testPeer('p', {
        peerIP: '198.51.100.1',
        asNumber: 1,
        password: { secretKeyRef: { name: 'bgp', key: 'a' } },
      }),
    ];
    let secret: string | undefined;
    const facts = { ...off, peers, password: () => secret };
    assert.deepEqual(names(facts), []);
    secret = 'one';
    const first = renderBird(wanted(facts).config);
    secret = 'two';
    const second = renderBird(wanted(facts).config);
    assert.notEqual(
      sessionsOf(first).get('Global_198_51_100_1'),
      sessionsOf(second).get('Global_198_51_100_1'),
    );
    secret = 'with "quotes"';
    assert.match(wanted(facts).problems[0]!.why, /cannot be used/);
  });
});

suite('bgpfilter', () => {
  const peers = [
    testPeer('outer', { peerIP: '198.51.100.1', asNumber: 64533, filters: ['f'] }),
    testPeer('inner', { peerIP: '198.51.100.2', asNumber: 64512, filters: ['f'] }),
  ];
  const [OUTER, INNER] = ['Global_198_51_100_1', 'Global_198_51_100_2'];
  const withFilter = (spec: Parameters<typeof testFilter>[1]) =>
    wanted({ peers, filters: [testFilter('f', spec)] });

  test('bgpfilter/match_operators', () => {
    const bird = withFilter({
      importV4: [
        { cidr: '44.0.0.0/16', matchOperator: 'In', action: 'Accept' },
        { cidr: '44.1.0.0/16', matchOperator: 'NotIn', action: 'Reject' },
        { cidr: '44.1.2.0/24', matchOperator: 'Equal', action: 'Accept' },
        { cidr: '44.1.3.0/24', matchOperator: 'NotEqual', action: 'Reject' },
      ],
    });
    const verdicts = ['44.0.9.0/24', '45.0.0.0/24', '44.1.2.0/24', '44.1.3.0/24', '44.1.4.0/24'].map((one) =>
      imported(bird, OUTER, route(one, fromBgp)),
    );
    assert.deepEqual(
      verdicts.map(({ accepted, why }) => [accepted, why.slice(0, 18)]),
      [
        [true, 'rule 1 of importV4'],
        [false, 'rule 2 of importV4'],
        [true, 'rule 3 of importV4'],
        [true, 'everything is take'],
        [false, 'rule 4 of importV4'],
      ],
    );
  });

  test('bgpfilter/match_interface, match_source, peer_type', () => {
    const bird = withFilter({
      exportV4: [
        { interface: 'eth*', action: 'Accept' },
        { source: 'RemotePeers', peerType: 'iBGP', action: 'Reject' },
        { source: 'RemotePeers', peerType: 'eBGP', action: 'Accept' },
      ],
    });
    assert.equal(exported(bird, OUTER, route('203.0.113.0/24', { interfaceName: 'eth1' })).accepted, true);
    assert.equal(exported(bird, OUTER, route('203.0.113.0/24', { interfaceName: 'dummy0' })).accepted, false);
    assert.equal(exported(bird, OUTER, route('203.0.113.0/24', fromBgp)).accepted, true);
    assert.match(exported(bird, INNER, route('203.0.113.0/24', fromBgp)).why, /rule 2/);
  });

  test('bgpfilter/as_path_and_priority', () => {
    const bird = withFilter({
      importV4: [
        { asPathPrefix: [65000, 65001], action: 'Accept', operations: [{ setPriority: { value: 200 } }] },
      ],
      exportV4: [
        { priority: 200, action: 'Accept', operations: [{ prependASPath: { prefix: [65000, 65001] } }] },
      ],
    });
    const taken = imported(bird, OUTER, route('44.0.0.0/16', { source: 'bgp', asPath: [65000, 65001, 7] }));
    assert.equal(taken.route.localPref, localPrefOf(200));
    assert.equal(toKernel(bird, taken.route).route.metric, 200);
    const told = exported(bird, INNER, taken.route);
    assert.deepEqual([told.accepted, told.route.asPath], [true, [65000, 65001, 65000, 65001, 7]]);
  });

  test('bgpfilter/communities_and_operations, large_community', () => {
    const bird = withFilter({
      importV4: [
        {
          communities: { values: ['65000:100'] },
          action: 'Accept',
          operations: [{ addCommunity: { value: '1:2:3' } }],
        },
        { communities: { values: ['65000:1:2'] }, action: 'Reject' },
      ],
    });
    assert.deepEqual(
      imported(bird, OUTER, route('44.0.0.0/16', { communities: ['65000:100'] })).route.communities,
      ['65000:100', '1:2:3'],
    );
    assert.equal(imported(bird, OUTER, route('44.0.0.0/16', { communities: ['65000:1:2'] })).accepted, false);
  });

  test('bgpfilter prefix lengths: shorter ones than the network itself never match', () => {
    const bird = withFilter({
      importV4: [
        { cidr: '44.0.0.0/16', matchOperator: 'In', prefixLength: { min: 8, max: 24 }, action: 'Reject' },
      ],
    });
    const rejected = ['44.0.0.0/8', '44.0.0.0/16', '44.0.1.0/24', '44.0.1.0/25'].filter(
      (one) => !imported(bird, OUTER, route(one)).accepted,
    );
    assert.deepEqual(rejected, ['44.0.0.0/16', '44.0.1.0/24']);
  });

  for (const only of ['import_only', 'export_only', 'v4_only', 'v6_only'] as const) {
    test(`bgpfilter/${only}: nothing else is touched`, () => {
      const key = (
        {
          import_only: 'importV4',
          export_only: 'exportV4',
          v4_only: 'importV4',
          v6_only: 'importV6',
        } as const
      )[only];
      const bird = withFilter({ [key]: [{ action: 'Reject' }] });
      assert.deepEqual(
        bird.config.functions.filter(({ name }) => name.startsWith('bgp_')).map(({ name }) => name),
        [`bgp_f_${key.slice(0, 6)}FilterV${key.at(-1)}`],
      );
      assert.equal(imported(bird, OUTER, route('44.0.0.0/16')).accepted, key !== 'importV4');
      assert.equal(exported(bird, OUTER, route('10.0.2.0/26')).accepted, key !== 'exportV4');
    });
  }

  test('bgpfilter/single_filter, multi_filter: filters are asked in the order of the peer', () => {
    const filters = [
      testFilter('first', { importV4: [{ cidr: '44.0.0.0/16', matchOperator: 'In', action: 'Accept' }] }),
      testFilter('last', { importV4: [{ action: 'Reject' }] }),
    ];
    const verdict = (order: string[]) =>
      imported(
        wanted({ filters, peers: [testPeer('p', { peerIP: '198.51.100.1', asNumber: 1, filters: order })] }),
        OUTER,
        route('44.0.0.0/16'),
      );
    assert.equal(verdict(['first', 'last']).accepted, true);
    assert.equal(verdict(['last', 'first']).accepted, false);
  });

  test('bgpfilter/filter_deletion: a filter that is not there is told of, and not asked', () => {
    const bird = wanted({ peers });
    assert.deepEqual(
      bird.problems.map(({ subject, why }) => `${subject}: ${why}`),
      ['BGPPeer "outer": there is no BGPFilter "f"', 'BGPPeer "inner": there is no BGPFilter "f"'],
    );
    assert.doesNotMatch(renderBird(bird.config), /FilterV/);
  });

  test('bgpfilter/filter_names: long names stay within what BIRD takes, and differ', () => {
    const long = (end: string) => `${'a'.repeat(80)}-${end}`;
    const filters = ['x', 'y'].map((end) => testFilter(long(end), { importV4: [{ action: 'Reject' }] }));
    const functions = wanted({ filters }).config.functions.filter(({ name }) => name.startsWith('bgp_'));
    assert.equal(new Set(functions.map(({ name }) => name)).size, 2);
    for (const { name } of functions) assert.ok(name.length <= 64, name);
  });

  test('bgpfilter/node_mesh: a change of filters does not touch the session', () => {
    const [before, after] = ['Accept', 'Reject'].map((action) =>
      sessionsOf(renderBird(withFilter({ importV4: [{ action: action as 'Accept' }] }).config)),
    );
    assert.deepEqual(before, after);
  });
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
