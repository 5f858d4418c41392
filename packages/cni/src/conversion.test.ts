import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { decodeResult } from './decode-result.ts';
import { encodeResult } from './encode-result.ts';
import { parseJson, stringifyJson } from './json.ts';
import { specVersions } from './versions.ts';

type Version = (typeof specVersions)[number];
/** Versions with the same form. */
type Form = 'old' | 'families' | 'plain' | 'extras';

const forms: Record<Version, Form> = {
  '0.1.0': 'old',
  '0.2.0': 'old',
  '0.3.0': 'families',
  '0.3.1': 'families',
  '0.4.0': 'families',
  '1.0.0': 'plain',
  '1.1.0': 'extras',
};

const dns = { nameservers: ['192.0.2.1'], domain: 'a.test', search: ['b.test'], options: ['ndots:1'] };
const oldRoutes4 = [{ dst: '0.0.0.0/0', gw: '10.1.2.1' }, { dst: '10.5.0.0/16' }];
const asOld = {
  ip4: { ip: '10.1.2.3/24', gateway: '10.1.2.1', routes: oldRoutes4 },
  ip6: { ip: 'fd00::3/64', routes: [{ dst: '::/0', gw: 'fd00::1' }] },
  dns,
};
const interfaces = [
  { name: 'br0', mac: '02:00:00:00:00:01' },
  { name: 'eth0', mac: '02:00:00:00:00:02', sandbox: '/run/netns/x' },
];
const interfacesWithExtras = [
  interfaces[0],
  { ...interfaces[1], mtu: 1400, socketPath: '/run/s.sock', pciID: '0000:00:01.0' },
];
const routes = [{ dst: '0.0.0.0/0', gw: '10.1.2.1' }, { dst: '::/0', gw: 'fd00::1' }, { dst: '10.5.0.0/16' }];
const routesWithExtras = [
  { ...routes[0], mtu: 1300, advmss: 1260, priority: 5, table: 0, scope: 253 },
  routes[1],
  routes[2],
];
const ips = [
  { address: '10.1.2.3/24', gateway: '10.1.2.1', interface: 0 },
  { address: 'fd00::3/64', interface: 1 },
  { address: '10.1.9.9/24' },
];
const ipsWithFamilies = [
  { version: '4', address: '10.1.2.3/24', gateway: '10.1.2.1', interface: 0 },
  { version: '6', address: 'fd00::3/64', interface: 1 },
  { version: '4', address: '10.1.9.9/24' },
];
// What went through an old version: an address of each family, no interfaces, routes by family.
const ipsOfOld = [{ address: '10.1.2.3/24', gateway: '10.1.2.1' }, { address: 'fd00::3/64' }];
const ipsOfOldWithFamilies = [
  { version: '4', address: '10.1.2.3/24', gateway: '10.1.2.1' },
  { version: '6', address: 'fd00::3/64' },
];
const routesOfOld = [...oldRoutes4, { dst: '::/0', gw: 'fd00::1' }];

/** The text of a source, and what it becomes in each form. */
const table: Record<Form, { source: object } & Record<Form, object>> = {
  old: {
    source: asOld,
    old: asOld,
    families: { ips: ipsOfOldWithFamilies, routes: routesOfOld, dns },
    plain: { ips: ipsOfOld, routes: routesOfOld, dns },
    extras: { ips: ipsOfOld, routes: routesOfOld, dns },
  },
  families: {
    source: { interfaces, ips: ipsWithFamilies, routes, dns },
    old: asOld,
    families: { interfaces, ips: ipsWithFamilies, routes, dns },
    plain: { interfaces, ips, routes, dns },
    extras: { interfaces, ips, routes, dns },
  },
  plain: {
    source: { interfaces, ips, routes, dns },
    old: asOld,
    families: { interfaces, ips: ipsWithFamilies, routes, dns },
    plain: { interfaces, ips, routes, dns },
    extras: { interfaces, ips, routes, dns },
  },
  extras: {
    source: { interfaces: interfacesWithExtras, ips, routes: routesWithExtras, dns },
    old: asOld,
    families: { interfaces, ips: ipsWithFamilies, routes, dns },
    plain: { interfaces, ips, routes, dns },
    extras: { interfaces: interfacesWithExtras, ips, routes: routesWithExtras, dns },
  },
};

function convert(source: object, from: string, to: string): object {
  const text = stringifyJson({ cniVersion: from, ...source });
  return JSON.parse(stringifyJson(encodeResult(decodeResult(parseJson(text), '9.9.9'), to))) as object;
}

describe('conversions', () => {
  for (const from of specVersions) {
    for (const to of specVersions) {
      test(`from ${from} to ${to}`, () => {
        const expected = { cniVersion: to, ...table[forms[from]][forms[to]] };
        assert.deepEqual(convert(table[forms[from]].source, from, to), expected);
      });
    }
  }

  test('without an address there is no way to 0.1.0 and 0.2.0, but for a result with nothing in it', () => {
    for (const to of ['0.1.0', '0.2.0']) {
      for (const source of [{ interfaces }, { routes }]) {
        assert.throws(() => convert(source, '1.0.0', to), {
          message: 'cannot convert: no valid IP addresses',
          number: 6,
        });
      }
      assert.deepEqual(convert({}, to, to), { cniVersion: to });
      assert.deepEqual(convert({ dns }, '0.1.0', to), { cniVersion: to, dns });
    }
  });

  test('empty is absent: dns, gateway, lists, numbers that mean nothing', () => {
    const source = {
      interfaces: [{ name: 'eth0', mac: '', sandbox: '', mtu: 0 }],
      ips: [{ address: '10.1.2.3/24', gateway: '', interface: null }],
      routes: [{ dst: '0.0.0.0/0', gw: '', mtu: 0, priority: 0 }],
      dns: { nameservers: [], domain: '', search: null },
    };
    assert.deepEqual(convert(source, '1.1.0', '1.1.0'), {
      cniVersion: '1.1.0',
      interfaces: [{ name: 'eth0' }],
      ips: [{ address: '10.1.2.3/24' }],
      routes: [{ dst: '0.0.0.0/0' }],
    });
    const nothing = { interfaces: [], ips: null, routes: [], dns: {} };
    assert.deepEqual(convert(nothing, '1.1.0', '0.4.0'), { cniVersion: '0.4.0' });
  });

  test('addresses keep their host bits; what is no address is refused', () => {
    const address = (text: string) => () => convert({ ips: [{ address: text }] }, '1.0.0', '1.0.0');
    for (const text of [
      '10.1.2.3/24',
      '0.0.0.0/0',
      '10.0.0.1/32',
      '::1/128',
      'fe80::1/10',
      '::ffff:1.2.3.4/96',
    ]) {
      assert.deepEqual(address(text)(), { cniVersion: '1.0.0', ips: [{ address: text }] });
    }
    for (const text of [
      '',
      '10.1.2.3',
      '10.1.2/24',
      '10.1.2.3/33',
      '10.01.2.3/24',
      '::/129',
      'fe80::1%eth0/64',
      '1/2/3',
      '10.1.2.3/024',
    ]) {
      assert.throws(address(text), { code: 'decoding-failure' }, text);
    }
    assert.throws(() => convert({ ips: [{ address: '10.1.2.3/24', gateway: 'x' }] }, '1.0.0', '1.0.0'), {
      message: 'decode ips[0].gateway: got "x", want an IP address',
    });
  });

  test('versions that are none', () => {
    for (const [from, to] of [
      ['2.0.0', '1.0.0'],
      ['1.0.0', '2.0.0'],
      ['1.0', '1.0.0'],
    ] as const) {
      assert.throws(() => convert({}, from, to), {
        message: `unsupported CNI result version "${from === '1.0.0' ? to : from}"`,
        number: 1,
      });
    }
    assert.deepEqual(encodeResult({ ips: [{ address: '10.1.2.3/24' }] }, ''), {
      cniVersion: '0.1.0',
      ip4: { ip: '10.1.2.3/24' },
    });
  });
});
