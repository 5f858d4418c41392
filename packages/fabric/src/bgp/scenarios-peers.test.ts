// Calico's scenarios of BGPPeer, by the names that its own tests give them.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { formatIp } from '@amphipod/netlink';
import { renderBird, sessionsOf } from './render-bird.ts';
import { testConfiguration, testNode, testPeer } from './testing.ts';
import { exported, names, route, session, toKernel, wanted } from './testing-judge.ts';

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
