import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { NetConf, Result } from '@amphipod/cni';
import { type Subject, subjects } from './lib/subjects.ts';
import { call, failureOf } from './lib/world.ts';

type Config = Partial<NetConf> & { type: string };
type Rest = Partial<Parameters<typeof call>[3]>;

function staticConfig(ipam: object, rest: object = {}): Config {
  return { type: 'static', ipam: { type: 'static', ...ipam }, ...rest };
}

const addresses = [
  { address: '10.99.0.5/24', gateway: '10.99.0.1' },
  { address: 'fd00:99::5/64', gateway: 'fd00:99::1' },
];

const add = (subject: Subject, config: Config, rest: Rest = {}): Promise<Result> =>
  call(subject, 'ADD', config, { netns: '/dummy', ...rest });

const wrong: [what: string, config: Config, args: string, words: string][] = [
  [
    'an address without prefix',
    staticConfig({ addresses: [{ address: '10.99.0.5' }] }),
    '',
    "the 'address' field is expected to be in CIDR notation, got: '10.99.0.5'",
  ],
  [
    'CNI_ARGS IP without prefix',
    staticConfig({}),
    'IP=10.99.0.5',
    "the 'ip' field is expected to be in CIDR notation, got: '10.99.0.5'",
  ],
  [
    'a wrong CNI_ARGS GATEWAY',
    staticConfig({ addresses }),
    'GATEWAY=10.99.0',
    'invalid gateway address: 10.99.0',
  ],
  [
    'args.cni.ips without prefix',
    staticConfig({}, { args: { cni: { ips: ['10.99.0.5'] } } }),
    '',
    "an entry in the 'ips' field is NOT in CIDR notation, got: '10.99.0.5'",
  ],
  [
    'runtimeConfig.ips without prefix',
    staticConfig({}, { runtimeConfig: { ips: ['10.99.0.5'] } }),
    '',
    "an entry in the 'ips' field is NOT in CIDR notation, got: '10.99.0.5'",
  ],
  [
    'two addresses of a family at 0.2.0',
    staticConfig({ addresses: [addresses[0], { address: '10.98.0.5/24' }] }, { cniVersion: '0.2.0' }),
    '',
    'CNI version 0.2.0 does not support more than 1 address per family',
  ],
  ['no ipam', { type: 'static' }, '', "IPAM config missing 'ipam' key"],
];

for (const subject of subjects) {
  describe(`static, ${subject.name}`, () => {
    test('addresses, routes and DNS', async () => {
      const dns = { nameservers: ['192.0.2.53'], domain: 'a.test', search: ['b.test'], options: ['ndots:2'] };
      const routes = [
        { dst: '0.0.0.0/0' },
        { dst: '10.5.0.0/16', gw: '10.99.0.9' },
        { dst: '::/0', gw: 'fd00:99::1' },
      ];
      const config = staticConfig({ addresses, routes, dns });
      const result = await add(subject, config);
      assert.deepEqual(result, { ips: addresses, routes, dns });
      await call(subject, 'CHECK', config, { netns: '/dummy', prevResult: result });
      await call(subject, 'DEL', config);
      await call(subject, 'DEL', config, { netns: '/dummy', prevResult: result });
    });

    test('nothing configured gives nothing', async () => {
      assert.deepEqual(await add(subject, staticConfig({})), {});
    });

    test('DEL needs no namespace and no result (CNI-06)', async () => {
      const config = staticConfig({ addresses });
      for (const netns of ['', '/nonexistent', '/etc/passwd']) await call(subject, 'DEL', config, { netns });
    });

    test('old results', async () => {
      const result = await add(subject, staticConfig({ addresses }, { cniVersion: '0.2.0' }));
      assert.deepEqual(result.ips, addresses);
    });

    test('CNI_ARGS adds addresses, and gateways to those of them in whose network they are', async () => {
      const config = staticConfig({ addresses: [{ address: '10.99.0.5/24' }] });
      const { ips } = await add(subject, config, {
        args: 'IP=10.98.0.7/16, fd00:98::7/64;GATEWAY=10.98.0.1,10.99.0.254',
      });
      assert.deepEqual(ips, [
        { address: '10.99.0.5/24' },
        { address: '10.98.0.7/16', gateway: '10.98.0.1' },
        { address: 'fd00:98::7/64' },
      ]);
      assert.match(
        (await failureOf(add(subject, config, { args: 'NAME=x' }))).message,
        /unknown args \["NAME=x"\]/,
      );
      await add(subject, config, { args: 'IgnoreUnknown=1;NAME=x' });
    });

    test('args.cni.ips replaces the configured ones, runtimeConfig.ips all', async () => {
      const args = { cni: { ips: ['10.98.0.7/24', 'fd00:98::7/64'] } };
      const given = await add(subject, staticConfig({ addresses }, { args }), { args: 'IP=10.97.0.7/24' });
      assert.deepEqual(given.ips, [{ address: '10.98.0.7/24' }, { address: 'fd00:98::7/64' }]);
      const runtimeConfig = { ips: ['10.96.0.7/24'] };
      const asked = await add(subject, staticConfig({ addresses }, { args, runtimeConfig }));
      assert.deepEqual(asked.ips, [{ address: '10.96.0.7/24' }]);
    });

    test('CHECK: another gateway than the configured one is wrong', async () => {
      const config = staticConfig({ addresses });
      const prevResult = { ips: [{ address: '10.99.0.5/24', gateway: '10.99.0.7' }, addresses[1]!] };
      assert.match(
        (await failureOf(call(subject, 'CHECK', config, { netns: '/dummy', prevResult }))).message,
        /static: Failed to match addr 10\.99\.0\.5 on interface eth0/,
      );
      assert.match(
        (await failureOf(call(subject, 'CHECK', config, { netns: '/dummy' }))).message,
        /Required prevResult missing/,
      );
    });

    for (const [what, config, args, words] of wrong) {
      test(`refuses ${what}`, async () => {
        assert.equal((await failureOf(add(subject, config, { args }))).message, words);
      });
    }

    const skip = subject.isOurs ? false : 'the reference does not do this';

    test('CHECK: an address that is missing is wrong; STATUS and GC', { skip }, async () => {
      const config = staticConfig({ addresses });
      const error = await failureOf(
        call(subject, 'CHECK', config, { netns: '/dummy', prevResult: { ips: [addresses[0]!] } }),
      );
      assert.deepEqual(
        [error.number, error.msg],
        [100, 'static: Failed to match addr fd00:99::5 on interface eth0'],
      );
      await call(subject, 'STATUS', config);
      await call(subject, 'GC', config, { validAttachments: [] });
      assert.equal((await failureOf(call(subject, 'STATUS', wrong[0]![1]))).number, 7);
    });

    test('extras of routes, and wrong values named with their key', { skip }, async () => {
      const route = {
        dst: '10.5.0.0/16',
        gw: '10.99.0.9',
        mtu: 1400,
        advmss: 1360,
        priority: 5,
        table: 0,
        scope: 0,
      };
      const { routes } = await add(
        subject,
        staticConfig({ addresses, routes: [route, { dst: '10.6.0.0/16', mtu: 0 }] }),
      );
      assert.deepEqual(routes, [route, { dst: '10.6.0.0/16' }]);
      const bad = staticConfig({ addresses: [{ address: '10.99.0.5/24', gateway: 'gw' }] });
      assert.equal(
        (await failureOf(add(subject, bad))).message,
        'key "ipam.addresses[0].gateway": got "gw", want an IP address',
      );
    });
  });
}
