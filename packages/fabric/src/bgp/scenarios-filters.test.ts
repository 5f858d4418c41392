// Calico's scenarios of BGPFilter, by the names that its own tests give them.
import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { localPrefOf } from './local-pref.ts';
import { renderBird, sessionsOf } from './render-bird.ts';
import { testFilter, testPeer } from './testing.ts';
import { exported, fromBgp, imported, route, toKernel, wanted } from './testing-judge.ts';

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
