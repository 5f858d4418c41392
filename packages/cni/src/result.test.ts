import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { decodeResult } from './decode-result.ts';
import { encodeResult } from './encode-result.ts';
import type { CniError } from './errors.ts';
import { parseJson, stringifyJson } from './json.ts';
import type { Result } from './result.ts';
import { specVersions } from './versions.ts';

const full: Result = {
  interfaces: [
    { name: 'br0', mac: '02:00:00:00:00:01' },
    {
      name: 'eth0',
      mac: '02:00:00:00:00:02',
      mtu: 1400,
      sandbox: '/run/netns/x',
      socketPath: '/s',
      pciID: '0000:00:01.0',
    },
  ],
  ips: [
    { address: '10.1.2.3/24', gateway: '10.1.2.1', interface: 0 },
    { address: 'fd00::3/64', interface: 1 },
    { address: '10.1.9.9/24' },
  ],
  routes: [
    { dst: '0.0.0.0/0', gw: '10.1.2.1', mtu: 1400, advmss: 1360, priority: 5, table: 100, scope: 0 },
    { dst: '::/0' },
  ],
  dns: { nameservers: ['192.0.2.1'], domain: 'a.test', search: ['b.test'], options: ['ndots:1'] },
};

describe('encodings', () => {
  test('0.1.0 and 0.2.0: the first address of each family', () => {
    for (const cniVersion of ['0.1.0', '0.2.0']) {
      assert.deepEqual(encodeResult(full, cniVersion), {
        cniVersion,
        ip4: { ip: '10.1.2.3/24', gateway: '10.1.2.1', routes: [{ dst: '0.0.0.0/0', gw: '10.1.2.1' }] },
        ip6: { ip: 'fd00::3/64', routes: [{ dst: '::/0' }] },
        dns: full.dns,
      });
    }
    assert.throws(() => encodeResult({ interfaces: [{ name: 'lo' }] }, '0.2.0'), {
      message: 'cannot convert: no valid IP addresses',
    });
  });

  test('0.3.x and 0.4.0: the family of each address, no extras; interface 0 stays', () => {
    for (const cniVersion of ['0.3.0', '0.3.1', '0.4.0']) {
      assert.deepEqual(encodeResult(full, cniVersion), {
        cniVersion,
        interfaces: [
          { name: 'br0', mac: '02:00:00:00:00:01' },
          { name: 'eth0', mac: '02:00:00:00:00:02', sandbox: '/run/netns/x' },
        ],
        ips: [
          { version: '4', interface: 0, address: '10.1.2.3/24', gateway: '10.1.2.1' },
          { version: '6', interface: 1, address: 'fd00::3/64' },
          { version: '4', address: '10.1.9.9/24' },
        ],
        routes: [{ dst: '0.0.0.0/0', gw: '10.1.2.1' }, { dst: '::/0' }],
        dns: full.dns,
      });
    }
  });

  test('1.0.0 without family, 1.1.0 with everything', () => {
    assert.deepEqual((encodeResult(full, '1.0.0').ips as unknown[])[1], {
      interface: 1,
      address: 'fd00::3/64',
    });
    const { cniVersion, ...rest } = encodeResult(full, '1.1.0');
    assert.deepEqual([cniVersion, rest], ['1.1.0', full]);
  });

  test('unknown versions', () => {
    assert.throws(() => encodeResult(full, '2.0.0'), { message: 'unsupported CNI result version "2.0.0"' });
    assert.throws(() => decodeResult({ cniVersion: '2.0.0' }, ''), {
      message: 'unsupported CNI result version "2.0.0"',
    });
  });
});

describe('decoding', () => {
  test('from 0.2.0: one address of each family, routes in one list', () => {
    const old = {
      ip4: { ip: '10.1.2.3/24', gateway: '10.1.2.1', routes: [{ dst: '0.0.0.0/0' }] },
      ip6: { ip: 'fd00::3/64' },
      dns: {},
    };
    assert.deepEqual(decodeResult(old, '0.2.0'), {
      ips: [{ address: '10.1.2.3/24', gateway: '10.1.2.1' }, { address: 'fd00::3/64' }],
      routes: [{ dst: '0.0.0.0/0' }],
    });
  });

  test('a result without version has that of the configuration, without any 0.1.0', () => {
    assert.deepEqual(decodeResult({ ips: [{ address: '10.1.2.3/24' }] }, '1.0.0').ips, [
      { address: '10.1.2.3/24' },
    ]);
    assert.deepEqual(decodeResult({ ip4: { ip: '10.1.2.3/24' } }, '').ips, [{ address: '10.1.2.3/24' }]);
    assert.deepEqual(decodeResult(null, '1.0.0'), {});
  });

  test('what is wrong is named', () => {
    const message = (value: unknown) => {
      try {
        decodeResult(value, '1.0.0');
      } catch (error) {
        return (error as CniError).message;
      }
      return 'no error';
    };
    assert.equal(message([]), 'decode result: got [], want an object');
    assert.equal(message({ ips: {} }), 'decode result.ips: got {}, want an array');
    assert.equal(message({ ips: [{}] }), 'decode ips[0].address: got nothing, want a string');
    assert.equal(message({ interfaces: [{ name: 5 }] }), 'decode interfaces[0].name: got 5, want a string');
    for (const index of [1.5, 1e300, '0']) {
      assert.match(
        message({ ips: [{ address: '10.1.2.3/24', interface: index }] }),
        /^decode ips\[0\]\.interface: got .*, want an integer$/,
      );
    }
  });
});

const octet = fc.nat(255);
const cidr4 = fc
  .tuple(octet, octet, octet, octet, fc.nat(32))
  .map(([a, b, c, d, n]) => `${a}.${b}.${c}.${d}/${n}`);
const cidr6 = fc
  .tuple(fc.nat(65535), fc.nat(65535), fc.nat(128))
  .map(([a, b, n]) => `fd00:${a.toString(16)}::${b.toString(16)}/${n}`);
const cidr = fc.oneof(cidr4, cidr6);
const plain = { noNullPrototype: true };
const optional = { ...plain, requiredKeys: ['address'] as ['address'] };
const results: fc.Arbitrary<Result> = fc.record(
  {
    interfaces: fc.array(
      fc.record({ name: fc.string({ minLength: 1 }), mac: fc.constant('02:00:00:00:00:01') }, plain),
      { minLength: 1 },
    ),
    ips: fc.array(
      fc.record({ address: cidr, gateway: fc.constant('10.0.0.1'), interface: fc.nat(3) }, optional),
      { minLength: 1 },
    ),
    routes: fc.array(
      fc.record({ dst: cidr, gw: fc.constant('10.0.0.1') }, { ...plain, requiredKeys: ['dst'] }),
      {
        minLength: 1,
      },
    ),
  },
  plain,
);

test('round trips through text keep what the version can hold', () => {
  const through = (result: Result, version: string) =>
    decodeResult(parseJson(stringifyJson(encodeResult(result, version))), version);
  fc.assert(
    fc.property(results, fc.constantFrom(...specVersions.slice(2)), (result, version) => {
      assert.deepEqual(through(result, version), result);
    }),
  );
  // By way of the oldest versions: the first address of each family.
  fc.assert(
    fc.property(results, (result) => {
      const firsts = ['.', ':']
        .map((mark) => result.ips!.find(({ address }) => address.includes(mark)))
        .filter((ip) => ip !== undefined);
      assert.deepEqual(
        through(result, '0.2.0').ips!.map(({ address }) => address),
        firsts.map(({ address }) => address),
      );
    }),
  );
  for (const version of specVersions.slice(2)) assert.equal(through(full, version).ips![0]!.interface, 0);
});

test('whatever comes in, the decoder gives a result or a CniError', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.constantFrom(...specVersions), (value, version) => {
      try {
        decodeResult(value, version);
      } catch (error) {
        assert.equal((error as Error).name, 'CniError');
      }
    }),
  );
});
