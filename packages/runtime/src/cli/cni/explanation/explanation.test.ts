import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compareItems, compareSysctls } from './compare.ts';
import { formatExplanation } from './format-explanation.ts';
import { replaceDhcp } from './replace-dhcp.ts';
import type { Item } from './snapshot.ts';

const link = (name: string, text: string): Item => ({ kind: 'link', name, text });

test('what is new, changed and gone', () => {
  const before = [link('a', 'a up'), link('b', 'b up'), link('c', 'c up')];
  const after = [link('b', 'b up'), link('c', 'c down'), link('d', 'd up')];
  assert.deepEqual(compareItems('host', before, after), [
    { where: 'host', kind: 'link', change: 'changed', text: 'c down', before: 'c up' },
    { where: 'host', kind: 'link', change: 'new', text: 'd up' },
    { where: 'host', kind: 'link', change: 'gone', text: 'a up' },
  ]);
});

test('settings of a new link are compared with the default ones', () => {
  const before = new Map([['net.ipv4.ip_forward', '0']]);
  const after = new Map([
    ['net.ipv4.ip_forward', '1'],
    ['net.ipv4.conf.default.rp_filter', '0'],
    ['net.ipv4.conf.eth0.rp_filter', '2'],
    ['net.ipv4.conf.default.proxy_arp', '0'],
    ['net.ipv4.conf.eth0.proxy_arp', '0'],
    ['net.ipv4.neigh.eth0.base_reachable_time', '7'],
  ]);
  assert.deepEqual(
    compareSysctls('pod', before, after).map(({ text, before: was }) => `${text} was ${was}`),
    ['net.ipv4.ip_forward = 1 was 0', 'net.ipv4.conf.eth0.rp_filter = 2 was 0'],
  );
});

test('a lease is not taken', () => {
  const bridge = { type: 'bridge', ipam: { type: 'dhcp', daemonSocketPath: '/x' } };
  const tuning = { type: 'tuning', mtu: 1400 };
  const { list, notes } = replaceDhcp({ name: 'n', plugins: [bridge, tuning] });
  const ipam = { type: 'static', addresses: [{ address: '192.0.2.2/24', gateway: '192.0.2.1' }] };
  assert.deepEqual(list, { name: 'n', plugins: [{ type: 'bridge', ipam }, tuning] });
  assert.match(notes.join(), /192\.0\.2\.2\/24 stands for its address/);
  const plain = { name: 'n', plugins: [{ type: 'bridge', ipam: { type: 'host-local' } }] };
  assert.deepEqual(replaceDhcp(plain), { list: plain, notes: [] });
});

test('as text: rules below their chain, what exists, notes', () => {
  const nft = (text: string) => ({ where: 'host', kind: 'nft', change: 'new', text }) as const;
  const text = formatExplanation({
    network: 'pods',
    file: undefined,
    result: { cniVersion: '1.0.0' },
    error: undefined,
    notes: ['tc is not installed'],
    changes: [
      { where: 'host', kind: 'link', change: 'new', text: 'cni0 bridge up', exists: true },
      nft('table ip x'),
      nft('table ip x, chain y'),
      nft('table ip x, chain y: ip saddr 10.0.0.1 accept'),
      { where: 'pod', kind: 'link', change: 'changed', text: 'lo up', before: 'lo down' },
    ],
  });
  assert.equal(
    text,
    `Network pods
An ADD would change this:

On the host
  + link    cni0 bridge up  (exists already)
  + nft     table ip x
  + nft       chain y
  + nft         ip saddr 10.0.0.1 accept

In the pod
  ~ link    lo up  (was lo down)

Result
{
  "cniVersion": "1.0.0"
}

Note: tc is not installed
`,
  );
});
