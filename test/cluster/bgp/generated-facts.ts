// Sets of resources and routes at random, as one would find them in clusters.
import type { BgpFacts, JudgedRoute, Resources } from '@amphipod/fabric';
import { kinds } from '@amphipod/fabric';
import { type Cidr, parseCidr } from '@amphipod/netlink';
import fc from 'fast-check';

const apiVersion = 'projectcalico.org/v3';
const place = { what: 'generated', path: '', isStrict: true };

/** Checks a resource as one that a person wrote. */
function resource<K extends keyof Resources>(
  kind: K,
  name: string,
  spec: unknown,
  labels: object = {},
): Resources[K] {
  return kinds[kind].schema.read({ kind, apiVersion, metadata: { name, labels }, spec }, place);
}

const perhaps = <T>(key: string, value: fc.Arbitrary<T>) =>
  fc.option(value, { nil: undefined }).map((one) => (one === undefined ? {} : { [key]: one }));

const merged = (...parts: fc.Arbitrary<object>[]): fc.Arbitrary<object> =>
  fc.tuple(...parts).map((all) => Object.assign({}, ...all) as object);

const AS = fc.constantFrom(64512, 64513, 65001, 4_200_000_000);
const community = fc.constantFrom('65000:100', '65000:200', '1:2:3', '4200000000:0:7');
const zone = fc.constantFrom('a', 'b');
const label = zone.map((one) => `zone == '${one}'`);
/** Networks that overlap often. */
const network4 = fc
  .tuple(
    fc.constantFrom('10.0', '10.1', '10.64', '44.0', '203.0'),
    fc.constantFrom(0, 64, 128),
    fc.constantFrom(8, 12, 16, 18, 20, 24, 26, 30, 32),
  )
  .map(([start, third, prefix]) => {
    const value = BigInt(
      Number(start.split('.')[0]) * 2 ** 24 + Number(start.split('.')[1]) * 2 ** 16 + third * 256,
    );
    const bits = BigInt(32 - prefix);
    const masked = (value >> bits) << bits;
    return `${[24n, 16n, 8n, 0n].map((shift) => (masked >> shift) & 255n).join('.')}/${prefix}`;
  });
const network6 = fc.constantFrom(
  'fd00:10::/32',
  'fd00:10::/48',
  'fd00:10:0:1::/64',
  '2001:db8:9::/48',
  '::/0',
);
const lengths = (max: number) =>
  fc
    .tuple(fc.integer({ min: 0, max }), fc.integer({ min: 0, max }))
    .map(([a, b]) => ({ min: Math.min(a, b), max: Math.max(a, b) }));

const operation = fc.oneof(
  community.map((value) => ({ addCommunity: { value } })),
  fc.array(AS, { minLength: 1, maxLength: 3 }).map((prefix) => ({ prependASPath: { prefix } })),
  fc.constantFrom(10, 512, 1024, 2000).map((value) => ({ setPriority: { value } })),
);

const rule = (network: fc.Arbitrary<string>, bits: number) =>
  fc
    .tuple(
      fc.option(
        fc.tuple(
          network,
          fc.constantFrom('Equal', 'NotEqual', 'In', 'NotIn'),
          perhaps('prefixLength', lengths(bits)),
        ),
        { nil: undefined, freq: 3 },
      ),
      merged(
        perhaps('source', fc.constant('RemotePeers')),
        perhaps('interface', fc.constantFrom('lo', 'l*', 'eth0', '*')),
        perhaps('peerType', fc.constantFrom('eBGP', 'iBGP')),
        perhaps(
          'communities',
          community.map((one) => ({ values: [one] })),
        ),
        perhaps('asPathPrefix', fc.array(AS, { minLength: 1, maxLength: 2 })),
        perhaps('priority', fc.constantFrom(10, 512, 1024)),
      ),
      // Rules that ask for everything match nothing.
      fc.subarray(['source', 'interface', 'peerType', 'communities', 'asPathPrefix', 'priority'], {
        maxLength: 2,
      }),
      fc.constantFrom('Accept', 'Reject'),
      fc.array(operation, { maxLength: 3 }),
    )
    .map(([about, conditions, kept, action, operations]) => ({
      ...(about !== undefined && { cidr: about[0], matchOperator: about[1], ...about[2] }),
      ...Object.fromEntries(Object.entries(conditions).filter(([key]) => kept.includes(key))),
      action,
      ...(action === 'Accept' && operations.length > 0 && { operations }),
    }));

const rules4 = fc.array(rule(network4, 32), { maxLength: 5 });
const rules6 = fc.array(rule(network6, 128), { maxLength: 4 });
const filterNames = ['f', 'with-dash', 'a.b', `long-${'x'.repeat(90)}`];
const filters = fc
  .array(fc.record({ importV4: rules4, exportV4: rules4, importV6: rules6, exportV6: rules6 }), {
    minLength: 1,
    maxLength: 4,
  })
  .map((specs) => specs.map((spec, i) => resource('BGPFilter', filterNames[i]!, spec)));

const peerCommon = merged(
  perhaps('maxRestartTime', fc.constantFrom('10s', '2m')),
  perhaps('keepaliveTime', fc.constantFrom('5s', '20s')),
  perhaps('sourceAddress', fc.constantFrom('UseNodeIP', 'None')),
  perhaps('nextHopMode', fc.constantFrom('Auto', 'Self', 'Keep')),
  perhaps('numAllowedLocalASNumbers', fc.integer({ min: 0, max: 5 })),
  perhaps('ttlSecurity', fc.integer({ min: 0, max: 255 })),
  perhaps('localASNumber', AS),
  perhaps('password', fc.constant({ secretKeyRef: { name: 'bgp', key: 'peer' } })),
  perhaps('filters', fc.uniqueArray(fc.constantFrom(...filterNames), { maxLength: 3 })),
);
const peerPlace = fc.oneof(
  fc.constant({}),
  fc.constant({ node: 'node-1' }),
  label.map((nodeSelector) => ({ nodeSelector })),
);
const peerTarget = fc.oneof(
  fc
    .tuple(
      fc.constantFrom(
        '198.51.100.1',
        '198.51.100.2:1790',
        '192.0.2.2',
        '2001:db8:9::1',
        '[2001:db8:9::2]:1790',
      ),
      AS,
    )
    .map(([peerIP, asNumber]) => ({ peerIP, asNumber })),
  fc.constant({ peerIP: '203.0.113.1', asNumber: 64999, reachableBy: '192.0.2.254' }),
  fc
    .tuple(label, fc.constantFrom('Auto', 'Manual'))
    .map(([peerSelector, reversePeering]) => ({ peerSelector, reversePeering })),
);
const peers = fc
  .array(merged(peerPlace, peerTarget, peerCommon), { maxLength: 6 })
  .map((specs) => specs.map((spec, i) => resource('BGPPeer', `peer-${i}`, spec)));

const ranges = (...all: string[]) => fc.subarray(all).map((some) => some.map((cidr) => ({ cidr })));
const settings = merged(
  perhaps('asNumber', AS),
  perhaps('listenPort', fc.constantFrom(179, 1790)),
  perhaps('bindMode', fc.constantFrom('None', 'NodeIP')),
  perhaps('logSeverityScreen', fc.constantFrom('Debug', 'Info', 'Fatal')),
  perhaps('ignoredInterfaces', fc.subarray(['eth9', 'docker*'], { minLength: 1 })),
  perhaps('serviceClusterIPs', ranges('10.96.0.0/12', 'fd00:96::/112')),
  perhaps('serviceExternalIPs', ranges('44.0.0.0/24')),
  perhaps('serviceLoadBalancerIPs', ranges('44.0.128.0/24')),
  perhaps('serviceLoadBalancerAggregation', fc.constantFrom('Enabled', 'Disabled')),
  perhaps(
    'programClusterRoutes',
    fc.constantFrom('Enabled', 'Disabled', 'EnabledIPIPOnly', 'EnabledNoEncapOnly'),
  ),
  perhaps('ipv4NormalRoutePriority', fc.constantFrom(512, 1024, 2000)),
);
const advertisements = fc.option(
  fc
    .tuple(network4, fc.uniqueArray(fc.constantFrom('near', '65000:300', '9:9:9'), { minLength: 1 }))
    .map(([cidr, communities]) => ({
      communities: [{ name: 'near', value: '65000:100' }],
      prefixAdvertisements: [{ cidr, communities }],
    })),
  { nil: {} },
);
const configurations = fc
  .tuple(
    merged(settings, advertisements, perhaps('nodeToNodeMeshEnabled', fc.boolean())),
    fc.option(settings, { nil: undefined }),
  )
  .map(([all, own]) => [
    resource('BGPConfiguration', 'default', all),
    ...(own === undefined ? [] : [resource('BGPConfiguration', 'node.node-1', own)]),
  ]);

const nodes = fc
  .array(
    fc.tuple(
      zone,
      perhaps('asNumber', AS),
      perhaps('routeReflectorClusterID', fc.constantFrom('10.9.9.1', '10.9.9.2')),
      fc.boolean(),
    ),
    { minLength: 2, maxLength: 6 },
  )
  .map((all) =>
    all.map(([zoneName, asNumber, clusterId, hasIpv6], i) =>
      resource(
        'Node',
        `node-${i + 1}`,
        {
          bgp: {
            ipv4Address: `192.0.2.${i + 1}/24`,
            ...(hasIpv6 && { ipv6Address: `2001:db8::${i + 1}/64` }),
            ...asNumber,
            ...clusterId,
          },
        },
        { zone: zoneName },
      ),
    ),
  );

const pools = fc
  .array(
    merged(
      perhaps('disableBGPExport', fc.boolean()),
      perhaps('disabled', fc.boolean()),
      perhaps('natOutgoing', fc.boolean()),
      fc.oneof(
        fc.constant({}),
        fc.constantFrom('Always', 'CrossSubnet').map((vxlanMode) => ({ vxlanMode })),
      ),
    ),
    { minLength: 3, maxLength: 3 },
  )
  .map((specs) =>
    ['10.0.0.0/16', '10.64.0.0/18', 'fd00:10::/48'].map((cidr, i) =>
      resource('IPPool', `pool-${i}`, { cidr, ...specs[i] }),
    ),
  );

const blocks = fc
  .uniqueArray(fc.tuple(fc.integer({ min: 0, max: 7 }), fc.constantFrom('node-1', 'node-2')), {
    maxLength: 5,
    selector: ([i]) => i,
  })
  .map((all) => all.map(([i, node]) => ({ node, cidr: parseCidr(`10.0.${i * 32}.0/26`) })));

/** Facts of `node-1`. */
export const factsArbitrary: fc.Arbitrary<BgpFacts> = fc
  .record({ nodes, pools, peers, filters, configurations, blocks })
  .map((parts) => ({
    ...parts,
    nodeName: 'node-1',
    endpoints: [],
    password: (_name: string, key: string) => (key === 'peer' ? 'pa ss\\word' : undefined),
  }));

const route = fc
  .record({
    network: network4.map((text): Cidr => parseCidr(text)),
    isUnicast: fc.boolean(),
    communities: fc.uniqueArray(community, { maxLength: 3 }),
    asPath: fc.array(AS, { maxLength: 3 }),
    localPref: fc.option(fc.constantFrom(100, 2_147_483_637, 2_147_483_135, 2_147_482_623), {
      nil: undefined,
    }),
    metric: fc.option(fc.constantFrom(0, 10, 512, 1024), { nil: undefined }),
  })
  .map(({ localPref, metric, ...rest }) => ({
    ...rest,
    source: 'static' as const,
    ...(rest.isUnicast && { interfaceName: 'lo' }),
    ...(localPref !== undefined && { localPref }),
    ...(metric !== undefined && { metric }),
  }));

/** Routes to different networks, as a protocol static can have them. */
export const routesArbitrary: fc.Arbitrary<JudgedRoute[]> = fc.uniqueArray(route, {
  minLength: 10,
  maxLength: 30,
  selector: ({ network }) => `${network.ip.value}/${network.prefix}`,
});
