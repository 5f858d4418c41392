import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatCidr, formatIp, parseCidr, parseIp } from '@amphipod/netlink';
import type { Lease } from './lease.ts';
import { parseNetworkConfig } from './network-config.ts';
import { type OverlayFacts, overlayMtu, wantedState } from './wanted-state.ts';

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

function facts(backend: object, leases: Lease[], own = node(1, '192.0.2.1')): OverlayFacts {
  return { config: config(backend), underlay, own, leases: [own, ...leases], masquerade: true };
}

const routesOf = (given: OverlayFacts) =>
  wantedState(given).state.routes.map(
    ({ dst, gateway, link, onlink }) =>
      `${formatCidr(dst)} via ${formatIp(gateway)} dev ${link}${onlink ? ' onlink' : ''}`,
  );

test('vxlan: a device with each other node behind it, and a route to each subnet', () => {
  const { state, passedOver } = wantedState(facts({ Type: 'vxlan', VNI: 5, Port: 4789 }, [far, near]));
  assert.deepEqual(passedOver, []);
  const [device, ...rest] = state.devices;
  assert.deepEqual(rest, []);
  const { address, local, peers, ...plain } = device!;
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
  assert.deepEqual(
    peers.map(({ vtep, mac, dst }) => [formatIp(vtep), mac, formatIp(dst)]),
    [
      ['10.244.2.0', '02:00:00:00:00:02', '192.0.2.2'],
      ['10.244.3.0', '02:00:00:00:00:03', '198.51.100.3'],
    ],
  );
  assert.deepEqual(routesOf(facts({ Type: 'vxlan' }, [near])), [
    '10.244.2.0/24 via 10.244.2.0 dev flannel.1 onlink',
  ]);
});

test('the wanted state does not depend on the order of the leases', () => {
  const backend = { Type: 'vxlan', DirectRouting: true };
  assert.deepEqual(wantedState(facts(backend, [near, far])), wantedState(facts(backend, [far, near])));
});

test('DirectRouting: a node on our own link is reached without VXLAN', () => {
  const given = facts({ Type: 'vxlan', DirectRouting: true }, [near, far]);
  assert.deepEqual(routesOf(given), [
    '10.244.2.0/24 via 192.0.2.2 dev eth0',
    '10.244.3.0/24 via 10.244.3.0 dev flannel.1 onlink',
  ]);
  assert.equal(wantedState(given).state.devices[0]!.peers.length, 1);
});

test('host-gw: routes only; a node behind a router is passed over, with the reason', () => {
  const nodes = [node(2, '192.0.2.2', 'host-gw'), node(3, '198.51.100.3', 'host-gw')];
  const given = facts({ Type: 'host-gw' }, nodes, node(1, '192.0.2.1', 'host-gw'));
  const { state, passedOver } = wantedState(given);
  assert.deepEqual(state.devices, []);
  assert.deepEqual(routesOf(given), ['10.244.2.0/24 via 192.0.2.2 dev eth0']);
  assert.deepEqual(passedOver, [{ lease: nodes[1], why: 'its address is not on the link "eth0"' }]);
});

test('leases that nothing can be done for are passed over, one by one', () => {
  const twin = { ...far, attributes: { ...far.attributes, vtepMac: near.attributes.vtepMac! } };
  const stranger = node(4, '192.0.2.4', 'wireguard');
  const overlapping = { ...node(5, '192.0.2.5'), subnet: parseCidr('10.244.0.0/22') };
  const { state, passedOver } = wantedState(facts({ Type: 'vxlan' }, [near, twin, stranger, overlapping]));
  assert.equal(state.devices[0]!.peers.length, 1);
  assert.deepEqual(passedOver.map(({ lease, why }) => [formatCidr(lease.subnet!), why]).toSorted(), [
    ['10.244.0.0/22', '10.244.0.0/22 overlaps our own subnet'],
    ['10.244.3.0/24', 'another node has the hardware address 02:00:00:00:00:02 too'],
    ['10.244.4.0/24', 'its backend is "wireguard"'],
  ]);
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
  const { state } = wantedState({ config: dual, underlay, own, leases: [own], masquerade: false });
  assert.deepEqual(
    state.devices.map(({ name, mtu, address }) => [name, mtu, formatCidr(address)]),
    [
      ['flannel.1', 1450, '10.244.1.0/32'],
      ['flannel-v6.1', 1430, 'fc00:0:0:1::/128'],
    ],
  );
  assert.equal(overlayMtu({ config: dual, underlay }), 1430);
  assert.equal(overlayMtu({ config: config({ Type: 'vxlan', MTU: 1400 }), underlay }), 1350);
  assert.equal(overlayMtu({ config: config({ Type: 'host-gw' }), underlay }), 1500);
});
