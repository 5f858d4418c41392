import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatCidr, formatIp, parseCidr, parseIp } from '@amphipod/netlink';
import fc from 'fast-check';
import { type Lease, leaseName } from './lease.ts';
import { parseNetworkConfig } from './network-config.ts';
import { type OverlayFacts, overlayMtu, WantedState } from './wanted-state.ts';

function config(backend: object, more: object = {}) {
  return parseNetworkConfig(JSON.stringify({ Network: '10.244.0.0/16', Backend: backend, ...more }), 'a');
}

function node(number: number, ip: string, backendType = 'vxlan'): Lease {
  const mac = `02:00:00:00:00:${number.toString(16).padStart(2, '0')}`;
  return {
    subnet: parseCidr(`10.244.${number}.0/24`),
    attributes: {
      backendType,
      publicIp: parseIp(ip),
      ...(backendType === 'vxlan' && { vtepMac: mac, vni: 1 }),
    },
  };
}

const underlay = {
  name: 'eth0',
  ifIndex: 2,
  mtu: 1500,
  ip: parseIp('192.0.2.1'),
  ipv6: parseIp('2001:db8::1'),
  onLink: [parseCidr('192.0.2.0/24'), parseCidr('2001:db8::/64')],
};
const near = node(2, '192.0.2.2');
const far = node(3, '198.51.100.3');

function facts(backend: object, own = node(1, '192.0.2.1')): OverlayFacts {
  return { config: config(backend), underlay, own, ownId: leaseName(own), masquerade: true };
}

function wanted(given: OverlayFacts, leases: readonly Lease[]): WantedState {
  const state = new WantedState(given);
  for (const lease of [given.own, ...leases]) state.set(leaseName(lease), lease);
  return state;
}

/** All that a state has for other nodes, as text, in an order that does not depend on anything. */
function linesOf({ families }: WantedState): string[] {
  return families
    .flatMap(({ neighbours, fdb, routes }) => [
      ...[...neighbours.values()].map(({ vtep, mac }) => `neighbour ${formatIp(vtep)} ${mac}`),
      ...[...fdb.values()].map(({ mac, dst }) => `fdb ${mac} ${formatIp(dst)}`),
      ...[...routes.values()].map(
        ({ dst, gateway, link, onlink }) =>
          `route ${formatCidr(dst)} via ${formatIp(gateway!)} dev ${link}${onlink ? ' onlink' : ''}`,
      ),
    ])
    .toSorted();
}

test('vxlan: a device with each other node behind it, and a route to each subnet', () => {
  const state = wanted(facts({ Type: 'vxlan', VNI: 5, Port: 4789 }), [far, near]);
  assert.deepEqual(state.passedOver(), []);
  const [family, ...rest] = state.families;
  assert.deepEqual(rest, []);
  const { address, local, ...plain } = family!.device!;
  assert.deepEqual(plain, {
    name: 'flannel.5',
    vni: 5,
    port: 4789,
    gbp: false,
    parentIndex: 2,
    mtu: 1450,
    mac: '02:00:00:00:00:01',
  });
  assert.deepEqual([formatCidr(address), formatIp(local)], ['10.244.1.0/32', '192.0.2.1']);
  assert.deepEqual(linesOf(state), [
    'fdb 02:00:00:00:00:02 192.0.2.2',
    'fdb 02:00:00:00:00:03 198.51.100.3',
    'neighbour 10.244.2.0 02:00:00:00:00:02',
    'neighbour 10.244.3.0 02:00:00:00:00:03',
    'route 10.244.2.0/24 via 10.244.2.0 dev flannel.5 onlink',
    'route 10.244.3.0/24 via 10.244.3.0 dev flannel.5 onlink',
  ]);
});

test('DirectRouting: a node on our own link is reached without VXLAN', () => {
  const state = wanted(facts({ Type: 'vxlan', DirectRouting: true }), [near, far]);
  assert.deepEqual(linesOf(state), [
    'fdb 02:00:00:00:00:03 198.51.100.3',
    'neighbour 10.244.3.0 02:00:00:00:00:03',
    'route 10.244.2.0/24 via 192.0.2.2 dev eth0',
    'route 10.244.3.0/24 via 10.244.3.0 dev flannel.1 onlink',
  ]);
});

test('host-gw: routes only; a node behind a router is passed over, with the reason', () => {
  const nodes = [node(2, '192.0.2.2', 'host-gw'), node(3, '198.51.100.3', 'host-gw')];
  const state = wanted(facts({ Type: 'host-gw' }, node(1, '192.0.2.1', 'host-gw')), nodes);
  assert.equal(state.families[0]!.device, undefined);
  assert.deepEqual(linesOf(state), ['route 10.244.2.0/24 via 192.0.2.2 dev eth0']);
  assert.deepEqual(state.passedOver(), [{ lease: nodes[1], why: 'its address is not on the link "eth0"' }]);
});

test('leases that nothing can be done for are passed over, one by one', () => {
  const twin = { ...far, attributes: { ...far.attributes, vtepMac: near.attributes.vtepMac! } };
  const stranger = node(4, '192.0.2.4', 'wireguard');
  const overlapping = { ...node(5, '192.0.2.5'), subnet: parseCidr('10.244.0.0/22') };
  const alias = { ...node(6, '192.0.2.6'), subnet: parseCidr('10.244.3.0/25') };
  const ours = { ...node(7, '192.0.2.7') };
  const same = { ...ours, attributes: { ...ours.attributes, vtepMac: '02:00:00:00:00:01' } };
  const group = { ...node(8, '192.0.2.8') };
  const grouped = { ...group, attributes: { ...group.attributes, vtepMac: '01:00:5e:00:00:08' } };
  const ownAddress = node(9, '192.0.2.1');
  const leases = [near, twin, stranger, overlapping, alias, same, grouped, ownAddress];
  const state = wanted(facts({ Type: 'vxlan' }), leases);
  assert.deepEqual(linesOf(state), [
    'fdb 02:00:00:00:00:02 192.0.2.2',
    'neighbour 10.244.2.0 02:00:00:00:00:02',
    'route 10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink',
  ]);
  assert.deepEqual(
    state.passedOver().map(({ lease, why }) => [formatCidr(lease.subnet!), why]),
    [
      ['10.244.0.0/22', '10.244.0.0/22 overlaps our own subnet'],
      ['10.244.3.0/24', 'another node has the hardware address 02:00:00:00:00:02 too'],
      ['10.244.3.0/25', 'another node has the subnet 10.244.3.0/25 too'],
      ['10.244.4.0/24', 'its backend is "wireguard"'],
      ['10.244.7.0/24', 'it has our own hardware address 02:00:00:00:00:01'],
      ['10.244.8.0/24', 'its hardware address 01:00:5e:00:00:08 is not that of one device'],
      ['10.244.9.0/24', 'its address 192.0.2.1 is our own'],
    ],
  );
});

test('changes: what is told is what there was before, and no more than what changed', () => {
  const state = wanted(facts({ Type: 'vxlan' }), [near, far]);
  const [{ routes, fdb, neighbours }] = state.families as [WantedState['families'][number]];
  assert.deepEqual([...routes.takeChanges().values()], [undefined, undefined]);
  for (const table of [fdb, neighbours]) table.takeChanges();
  assert.equal(state.hasChanges, false);
  const moved = { ...far, attributes: { ...far.attributes, publicIp: parseIp('198.51.100.9') } };
  state.set(leaseName(far), moved);
  state.set(leaseName(near), undefined);
  state.set(leaseName(far), undefined);
  const before = [...fdb.takeChanges()].map(([mac, peer]) => [mac, formatIp(peer!.dst)]);
  assert.deepEqual(before.toSorted(), [
    ['02:00:00:00:00:02', '192.0.2.2'],
    ['02:00:00:00:00:03', '198.51.100.3'],
  ]);
  assert.deepEqual([...fdb.values()], []);
});

test('whatever came, went and was claimed twice, what is wanted follows from the leases that there are', () => {
  const hosts = ['192.0.2.2', '192.0.2.3', '198.51.100.4', '198.51.100.5'];
  const lease = fc.record({
    subnet: fc.constantFrom(
      '10.244.1.0/24',
      '10.244.2.0/24',
      '10.244.2.0/25',
      '10.244.3.0/24',
      '10.244.4.0/24',
    ),
    mac: fc.integer({ min: 1, max: 4 }),
    host: fc.constantFrom(...hosts),
    isGone: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(lease, { maxLength: 30 }), fc.boolean(), (steps, directRouting) => {
      const given = facts({ Type: 'vxlan', DirectRouting: directRouting });
      const state = wanted(given, []);
      const there = new Map<string, Lease>();
      for (const { subnet, mac, host, isGone } of steps) {
        const { attributes } = node(mac, host);
        const one: Lease = { subnet: parseCidr(subnet), attributes };
        const name = leaseName(one);
        if (isGone) there.delete(name);
        else there.set(name, one);
        state.set(name, there.get(name));
      }
      const fresh = wanted(given, [...there.values()]);
      assert.deepEqual(linesOf(state), linesOf(fresh));
      assert.deepEqual(linesOf(state), linesOf(wanted(given, [...there.values()].toReversed())));
      const why = (one: WantedState) => one.passedOver().map((passed) => passed.why);
      assert.deepEqual(why(state), why(fresh));
      // Each is either used or passed over with a reason; our own subnet's name is ours.
      const others = [...there.keys()].filter((name) => name !== leaseName(given.own));
      assert.equal(state.families[0]!.routes.size + state.passedOver().length, others.length);
    }),
  );
});

test('both families: two devices, and room for the larger header in the pods’ MTU', () => {
  const own: Lease = {
    subnet: parseCidr('10.244.1.0/24'),
    ipv6Subnet: parseCidr('fc00:0:0:1::/64'),
    attributes: {
      ...node(1, '192.0.2.1').attributes,
      publicIpv6: parseIp('2001:db8::1'),
      ipv6VtepMac: '02:00:00:00:01:01',
    },
  };
  const dual = config({ Type: 'vxlan' }, { EnableIPv6: true, IPv6Network: 'fc00::/48' });
  const state = new WantedState({ config: dual, underlay, own, ownId: leaseName(own), masquerade: false });
  assert.deepEqual(
    state.families.map(({ device }) => [device!.name, device!.mtu, formatCidr(device!.address)]),
    [
      ['flannel.1', 1450, '10.244.1.0/32'],
      ['flannel-v6.1', 1430, 'fc00:0:0:1::/128'],
    ],
  );
  assert.equal(overlayMtu({ config: dual, underlay }), 1430);
  assert.equal(overlayMtu({ config: config({ Type: 'vxlan', MTU: 1400 }), underlay }), 1350);
  assert.equal(overlayMtu({ config: config({ Type: 'host-gw' }), underlay }), 1500);
});
