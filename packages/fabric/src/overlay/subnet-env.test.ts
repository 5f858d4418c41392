import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseCidr } from '@amphipod/netlink';
import { parseSubnetEnv, readSubnetEnv, type SubnetEnv, writeSubnetEnv } from './subnet-env.ts';

const env: SubnetEnv = {
  ipv4: { network: parseCidr('10.244.0.0/16'), subnet: parseCidr('10.244.1.0/24') },
  ipv6: { network: parseCidr('fc00::/48'), subnet: parseCidr('fc00:0:0:1::/64') },
  mtu: 1450,
  ipMasq: true,
};
const text = `FLANNEL_NETWORK=10.244.0.0/16
FLANNEL_SUBNET=10.244.1.1/24
FLANNEL_IPV6_NETWORK=fc00::/48
FLANNEL_IPV6_SUBNET=fc00:0:0:1::1/64
FLANNEL_MTU=1450
FLANNEL_IPMASQ=true
`;

test('subnet.env is written as flannel writes it, whole or not at all, and read back', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'subnet-env-'));
  t.after(() => rmSync(dir, { recursive: true }));
  const file = join(dir, 'flannel', 'subnet.env');
  assert.equal(readSubnetEnv(file), undefined);
  writeSubnetEnv(file, env);
  assert.equal(readFileSync(file, 'utf8'), text);
  assert.equal(statSync(file).mode & 0o777, 0o644);
  assert.deepEqual(readdirSync(join(dir, 'flannel')), ['subnet.env']);
  assert.deepEqual(readSubnetEnv(file), env);
});

test('OVL-05: a subnet file that is empty, half there or wrong is refused with key and value', () => {
  const cases: [string, RegExp][] = [
    ['', /"\/run\/a": FLANNEL_SUBNET: missing/],
    ['FLANNEL_NETWORK=10.244.0.0/16\n', /FLANNEL_SUBNET: missing/],
    [text.replace(/^FLANNEL_IPV6_NETWORK.*\n/m, ''), /FLANNEL_IPV6_NETWORK: missing/],
    [text.replace('10.244.1.1/24', '10.244.1.1'), /FLANNEL_SUBNET "10\.244\.1\.1": not an IPv4 address/],
    [text.replace(/^FLANNEL_MTU.*\n/m, ''), /FLANNEL_MTU: missing/],
    [text.replace('1450', 'x'), /FLANNEL_MTU "x": not an MTU/],
    [text.slice(0, text.indexOf('FLANNEL_IPMASQ')), /FLANNEL_IPMASQ: missing/],
    [text.replace('true', 'tr'), /FLANNEL_IPMASQ "tr": not true or false/],
  ];
  for (const [content, message] of cases) {
    assert.throws(() => parseSubnetEnv(content, '/run/a'), { code: 'invalid-config', message });
  }
});
