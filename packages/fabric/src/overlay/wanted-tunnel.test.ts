import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { formatCidr, formatIp, parseCidr, parseIp, type WireguardPeer } from '@amphipod/netlink';
import { type Lease, leaseName } from './lease.ts';
import { parseNetworkConfig } from './network-config.ts';
import { peerDifferences } from './sync-tunnel.ts';
import { overlayMtu, WantedState } from './wanted-state.ts';
import { publicKeyOf, readWireguardKey } from './wireguard-key.ts';

const key = (byte: number) => Buffer.alloc(32, byte).toString('base64');
const wireguardKey = { privateKey: key(1), publicKey: publicKeyOf(key(1)) };
const underlay = {
  name: 'eth0',
  ifIndex: 2,
  mtu: 1500,
  ip: parseIp('192.0.2.1'),
  ipv6: parseIp('2001:db8::1'),
  onLink: [],
};

function node(number: number, more: Partial<Lease['attributes']> = {}): Lease {
  return {
    subnet: parseCidr(`10.244.${number}.0/24`),
    ipv6Subnet: parseCidr(`fd00:${number}::/64`),
    attributes: {
      backendType: 'wireguard',
      publicIp: parseIp(`192.0.2.${number}`),
      publicIpv6: parseIp(`2001:db8::${number}`),
      publicKey: key(number),
      ipv6PublicKey: key(number),
      ...more,
    },
  };
}

function wanted(backend: object, leases: readonly Lease[]): WantedState {
  const config = parseNetworkConfig(
    JSON.stringify({
      EnableIPv6: true,
      Network: '10.244.0.0/16',
      IPv6Network: 'fd00::/16',
      Backend: { Type: 'wireguard', ...backend },
    }),
    'a',
  );
  const own = node(1, { publicKey: wireguardKey.publicKey, ipv6PublicKey: wireguardKey.publicKey });
  const facts = { config, underlay, own, ownId: leaseName(own), masquerade: false, wireguardKey };
  const state = new WantedState(facts);
  for (const lease of [own, ...leases]) state.set(leaseName(lease), lease);
  assert.equal(overlayMtu(facts), 1420);
  return state;
}

/** Devices and peers as text. */
function linesOf({ tunnels }: WantedState): string[] {
  return tunnels.flatMap((tunnel) => {
    const { name, listenPort, mtu, addresses } = tunnel.device;
    const peers = [...tunnel.keys()].map((publicKey) => {
      const { endpoint, allowedIps, keepaliveSeconds, presharedKey } = tunnel.peer(publicKey)!;
      const secret = presharedKey === undefined ? '' : ' psk';
      const where = `${formatIp(endpoint.ip)} ${endpoint.port}`;
      return `${name}: ${publicKey.slice(0, 4)} at ${where} for ${allowedIps.map(formatCidr)} every ${keepaliveSeconds}${secret}`;
    });
    return [`${name} ${listenPort} mtu ${mtu} ${addresses.map(formatCidr)}`, ...peers];
  });
}

test('separate: a tunnel for each family, over that family', () => {
  const state = wanted({}, [node(2)]);
  assert.deepEqual(linesOf(state), [
    'flannel-wg 51820 mtu 1420 10.244.1.0/32',
    'flannel-wg: AgIC at 192.0.2.2 51820 for 10.244.2.0/24 every 0',
    'flannel-wg-v6 51821 mtu 1420 fd00:1::/128',
    'flannel-wg-v6: AgIC at 2001:db8::2 51821 for fd00:2::/64 every 0',
  ]);
  const routes = state.families.flatMap(({ routes }) => [...routes.values()]);
  assert.deepEqual(
    routes.map(({ dst, gateway, link, onlink }) => [formatCidr(dst), gateway, link, onlink]),
    [
      ['10.244.2.0/24', undefined, 'flannel-wg', true],
      ['fd00:2::/64', undefined, 'flannel-wg-v6', true],
    ],
  );
});

test('one tunnel for both families: over IPv4, over IPv6, or what is likely to work', () => {
  const line = (backend: object, ...leases: Lease[]) => linesOf(wanted(backend, leases))[1];
  const settings = { PSK: key(9), PersistentKeepaliveInterval: 25, ListenPort: 5000 };
  assert.deepEqual(linesOf(wanted({ Mode: 'ipv4', ...settings }, [node(2)])), [
    'flannel-wg 5000 mtu 1420 10.244.1.0/32,fd00:1::/128',
    'flannel-wg: AgIC at 192.0.2.2 5000 for 10.244.2.0/24,fd00:2::/64 every 25 psk',
  ]);
  assert.match(line({ Mode: 'ipv6' }, node(2))!, /at 2001:db8::2 51820 for/);
  assert.match(line({ Mode: 'auto' }, node(2))!, /at 192\.0\.2\.2 51820 for/);
  const privateIp = { publicIp: parseIp('10.0.0.2') };
  assert.match(line({ Mode: 'auto' }, node(2, privateIp))!, /at 2001:db8::2 51820 for/);
  const allPrivate = { ...privateIp, publicIpv6: parseIp('fd77::2') };
  assert.match(line({ Mode: 'auto' }, node(2, allPrivate))!, /at 10\.0\.0\.2 51820 for/);
});

test('a node is reached on the ports that it tells, where it listens on them', () => {
  const peer = node(2, { port: 7000, ipv6Port: 7001 });
  const ports = (backend: object) =>
    linesOf(wanted(backend, [peer])).flatMap((line) => / (\d+) for /.exec(line)?.[1] ?? []);
  assert.deepEqual(ports({}), ['7000', '7001']);
  // flannel's one device for both families listens on the first, whatever it tells.
  for (const Mode of ['ipv4', 'ipv6', 'auto']) assert.deepEqual(ports({ Mode }), ['7000']);
});

test('leases without a key, or with that of another node, are passed over; changes name their keys', () => {
  const { publicKey: _, ...rest } = node(3).attributes;
  const state = wanted({}, [node(2), { ...node(3), attributes: rest }, node(4, { publicKey: key(2) })]);
  assert.deepEqual(
    state.passedOver().map(({ lease, why }) => `${formatCidr(lease.subnet!)}: ${why}`),
    [
      '10.244.3.0/24: it has no WireGuard key for IPv4',
      `10.244.4.0/24: another node has the public key ${key(2)} too`,
    ],
  );
  const [tunnel] = state.tunnels;
  assert.deepEqual(tunnel!.takeChanges(), new Set([key(2)]));
  state.set(leaseName(node(2)), undefined);
  assert.deepEqual(tunnel!.takeChanges(), new Set([key(2)]));
  // The one that had to wait has it now.
  assert.equal(formatCidr(tunnel!.peer(key(2))!.allowedIps[0]!), '10.244.4.0/24');
});

test('peers of the kernel are compared by all that they have; one that is connected may have moved', () => {
  const state = wanted({}, [node(2), node(3)]);
  const [tunnel] = state.tunnels;
  const right = (number: number, more: Partial<WireguardPeer> = {}): WireguardPeer => ({
    ...tunnel!.peer(key(number))!,
    allowedIps: [parseCidr(`10.244.${number}.0/24`)],
    receivedBytes: 0n,
    sentBytes: 0n,
    ...more,
  });
  const differences = (...peers: WireguardPeer[]) => {
    const { wrong, unwanted } = peerDifferences({ peers }, tunnel!);
    return { wrong: wrong.map(({ publicKey }) => publicKey), unwanted };
  };
  assert.deepEqual(differences(right(2), right(3)), { wrong: [], unwanted: [] });
  assert.deepEqual(differences(right(2)), { wrong: [key(3)], unwanted: [] });
  const foreign = right(2, { publicKey: key(8) });
  assert.deepEqual(differences(right(2), right(3), foreign), { wrong: [], unwanted: [key(8)] });
  const moved = { endpoint: { ip: parseIp('198.51.100.1'), port: 1 } };
  const cases: Partial<WireguardPeer>[] = [
    { allowedIps: [] },
    { keepaliveSeconds: 1 },
    { presharedKey: key(7) },
    moved,
    { ...moved, lastHandshakeMs: Date.now() - 200_000 },
  ];
  for (const change of cases)
    assert.deepEqual(differences(right(2, change), right(3)), { wrong: [key(2)], unwanted: [] });
  const connected = right(2, { ...moved, lastHandshakeMs: Date.now() - 1000 });
  assert.deepEqual(differences(connected, right(3)), { wrong: [], unwanted: [] });
});

test('the key of a node is made once, for root alone; a file that holds none is named', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'wireguard-test-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const file = join(dir, 'flannel', 'wgkey');
  const made = readWireguardKey(file);
  assert.deepEqual(readWireguardKey(file), made);
  assert.equal(statSync(file).mode & 0o777, 0o400);
  // RFC 7748, section 6.1: Bob's keys.
  const base64 = (hex: string) => Buffer.from(hex, 'hex').toString('base64');
  assert.equal(
    publicKeyOf(base64('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb')),
    base64('de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f'),
  );
  writeFileSync(join(dir, 'bad'), 'secret but no key');
  assert.throws(
    () => readWireguardKey(join(dir, 'bad')),
    (error: Error) => {
      assert.match(error.message, /bad": must be 32 bytes in base64/);
      assert.doesNotMatch(error.message, /secret/);
      return true;
    },
  );
});
