import assert from 'node:assert/strict';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { add, del, firstIp, ipamConfig } from './lib/host-local.ts';
import { subjects } from './lib/subjects.ts';
import { call, failureOf, World } from './lib/world.ts';

const badConfigs: [what: string, ipam: object, words: RegExp][] = [
  ['no range', {}, /no IP ranges specified/],
  [
    'host bits',
    { subnet: '10.99.0.5/24' },
    /Network has host bits set\. For a subnet mask of length 24 the network address is 10\.99\.0\.0/,
  ],
  ['a tiny network', { subnet: '10.99.0.0/31' }, /Network 10\.99\.0\.0\/31 too small to allocate from/],
  [
    'a start outside',
    { subnet: '10.99.0.0/24', rangeStart: '10.98.0.1' },
    /RangeStart 10\.98\.0\.1 not in network 10\.99\.0\.0\/24/,
  ],
  [
    'an end outside',
    { subnet: '10.99.0.0/24', rangeEnd: '10.98.0.1' },
    /RangeEnd 10\.98\.0\.1 not in network 10\.99\.0\.0\/24/,
  ],
  [
    'an end before the start',
    { subnet: '10.99.0.0/24', rangeStart: '10.99.0.9', rangeEnd: '10.99.0.8' },
    /Range(End 10\.99\.0\.8|Start 10\.99\.0\.9) not in network/,
  ],
  [
    'mixed families',
    { ranges: [[{ subnet: '10.99.0.0/24' }, { subnet: 'fd00::/64' }]] },
    /mixed address families/,
  ],
  [
    'overlap in a set',
    { ranges: [[{ subnet: '10.99.0.0/24' }, { subnet: '10.99.0.0/16' }]] },
    /subnets 10\.99\.0\.1-10\.99\.0\.254 and 10\.99\.0\.1-10\.99\.255\.254 overlap/,
  ],
  [
    'overlapping sets',
    { ranges: [[{ subnet: '10.99.0.0/24' }], [{ subnet: '10.99.0.0/16' }]] },
    /range set [01] overlaps with [01]/,
  ],
];

for (const subject of subjects) {
  describe(`host-local, ${subject.name}`, () => {
    test('files, result, CHECK and DEL', async () => {
      using world = new World();
      const routes = [{ dst: '0.0.0.0/0' }, { dst: '10.5.0.0/16', gw: '10.99.0.9' }];
      const config = ipamConfig(world, { subnet: '10.99.0.0/24', routes });
      const result = await add(subject, config, 'c1');
      assert.deepEqual(result, { ips: [{ address: '10.99.0.2/24', gateway: '10.99.0.1' }], routes });
      const dir = join(world.dataDir, 'testnet');
      assert.equal(world.reservation('testnet', '10.99.0.2'), 'c1\r\neth0');
      assert.equal(readFileSync(join(dir, 'last_reserved_ip.0'), 'utf8'), '10.99.0.2');
      const mode = (path: string) => (statSync(path).mode & 0o777).toString(8);
      assert.equal(mode(dir), '755');
      // 1.1.1 of the reference has 644, later ones 600.
      if (subject.isOurs) assert.equal(mode(join(dir, '10.99.0.2')), '600');
      await call(subject, 'CHECK', config, { netns: '/dummy', prevResult: result });
      await del(subject, config, 'c1');
      assert.deepEqual(world.reservations('testnet'), []);
      const error = await failureOf(call(subject, 'CHECK', config, { netns: '/dummy', prevResult: result }));
      assert.match(error.message, /host-local: Failed to find address added by container c1/);
      await del(subject, config, 'c1');
      await del(subject, config, 'unknown');
    });

    test('goes round, and starts anew at the end', async () => {
      using world = new World();
      const config = ipamConfig(world, { subnet: '10.99.0.0/29' });
      assert.equal(await firstIp(add(subject, config, 'a')), '10.99.0.2/29');
      await del(subject, config, 'a');
      for (const last of [3, 4, 5, 6])
        assert.equal(await firstIp(add(subject, config, `c${last}`)), `10.99.0.${last}/29`);
      assert.equal(await firstIp(add(subject, config, 'b')), '10.99.0.2/29');
      const error = await failureOf(add(subject, config, 'too-many'));
      assert.match(
        error.message,
        /failed to allocate for range 0: no IP addresses available in range set: 10\.99\.0\.1-10\.99\.0\.6/,
      );
      assert.equal(error.number, 999);
    });

    test('several ranges in a set', async () => {
      using world = new World();
      const ranges = [
        [
          {
            subnet: '10.99.0.0/24',
            rangeStart: '10.99.0.10',
            rangeEnd: '10.99.0.11',
            gateway: '10.99.0.254',
          },
          { subnet: '10.99.1.0/24', rangeStart: '10.99.1.1', rangeEnd: '10.99.1.2' },
        ],
      ];
      const config = ipamConfig(world, { ranges });
      const given: string[] = [];
      for (const id of ['a', 'b', 'c']) given.push(await firstIp(add(subject, config, id)));
      assert.deepEqual(given, ['10.99.0.10/24', '10.99.0.11/24', '10.99.1.2/24']);
      assert.match(
        (await failureOf(add(subject, config, 'd'))).message,
        /no IP addresses available in range set: 10\.99\.0\.10-10\.99\.0\.11,10\.99\.1\.1-10\.99\.1\.2/,
      );
    });

    test('one address of each set; a failure gives back what was taken', async () => {
      using world = new World();
      const ranges = [
        [{ subnet: '10.99.0.0/24' }],
        [{ subnet: 'fd00:99::/120', rangeStart: 'fd00:99::2', rangeEnd: 'fd00:99::2' }],
      ];
      const config = ipamConfig(world, { ranges });
      const { ips } = await add(subject, config, 'a');
      assert.deepEqual(
        ips!.map(({ address }) => address),
        ['10.99.0.2/24', 'fd00:99::2/120'],
      );
      const error = await failureOf(add(subject, config, 'b'));
      assert.match(error.message, /failed to allocate for range 1/);
      assert.deepEqual(world.reservations('testnet'), ['10.99.0.2', 'fd00:99::2']);
    });

    test('asked-for addresses, from three places', async () => {
      using world = new World();
      const config = ipamConfig(world, { subnet: '10.99.0.0/24' });
      const withArgs = (ips: string[]) => ({ ...config, args: { cni: { ips } } });
      const withRuntime = (ips: string[]) => ({ ...config, runtimeConfig: { ips } });
      assert.equal(await firstIp(add(subject, config, 'a', { args: 'IP=10.99.0.20' })), '10.99.0.20/24');
      assert.equal(await firstIp(add(subject, withArgs(['10.99.0.30']), 'b')), '10.99.0.30/24');
      assert.equal(await firstIp(add(subject, withRuntime(['10.99.0.40/24']), 'c')), '10.99.0.40/24');
      const refused = async (ip: string, id: string) =>
        (await failureOf(add(subject, config, id, { args: `IP=${ip}` }))).message;
      assert.match(
        await refused('10.99.0.20', 'd'),
        /requested IP address 10\.99\.0\.20 is not available in range set 10\.99\.0\.1-10\.99\.0\.254/,
      );
      assert.match(await refused('10.99.0.1', 'e'), /requested ip 10\.99\.0\.1 is subnet's gateway/);
      assert.match(await refused('10.98.0.5', 'f'), /failed to allocate all requested IPs: 10\.98\.0\.5/);
      assert.equal(world.reservations('testnet').length, 3);
    });

    test('ranges that the runtime brings', async () => {
      using world = new World();
      const config = ipamConfig(world, {}, { runtimeConfig: { ipRanges: [[{ subnet: '10.97.0.0/24' }]] } });
      assert.equal(await firstIp(add(subject, config, 'a')), '10.97.0.2/24');
    });

    test('CNI_ARGS with keys of others', async () => {
      using world = new World();
      const config = ipamConfig(world, { subnet: '10.99.0.0/24' });
      assert.match(
        (await failureOf(add(subject, config, 'a', { args: 'K8S_POD_NAME=p' }))).message,
        /unknown args \["K8S_POD_NAME=p"\]/,
      );
      await add(subject, config, 'a', { args: 'IgnoreUnknown=1;K8S_POD_NAME=p' });
    });

    test('a second ADD of the same attachment is an error (CNI-03)', async () => {
      using world = new World();
      const config = ipamConfig(world, { subnet: '10.99.0.0/24' });
      await add(subject, config, 'a');
      const error = await failureOf(add(subject, config, 'a'));
      assert.match(
        error.message,
        /10\.99\.0\.2 has been allocated to a, duplicate allocation is not allowed/,
      );
      await add(subject, config, 'a', { ifName: 'net1' });
      // All at once: one of them gets an address.
      const outcomes = await Promise.allSettled(['b', 'b', 'b'].map((id) => add(subject, config, id)));
      assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
      assert.deepEqual(world.reservations('testnet'), ['10.99.0.2', '10.99.0.3', '10.99.0.4']);
      await del(subject, config, 'a');
      await del(subject, config, 'a');
      assert.deepEqual(world.reservations('testnet'), ['10.99.0.3', '10.99.0.4']);
    });

    test('DEL needs no namespace, no result and no reservation (CNI-06)', async () => {
      using world = new World();
      const config = ipamConfig(world, { subnet: '10.99.0.0/24' });
      await call(subject, 'DEL', config, { containerID: 'nobody' });
      const file = join(world.dir, 'file');
      writeFileSync(file, '');
      for (const netns of ['', '/nonexistent', file]) {
        await add(subject, config, 'a');
        await call(subject, 'DEL', config, { containerID: 'a', netns });
        await call(subject, 'DEL', config, { containerID: 'a', netns });
        assert.deepEqual(world.reservations('testnet'), []);
      }
    });

    test('DEL of files without an interface, with white space', async () => {
      using world = new World();
      const config = ipamConfig(world, { subnet: '10.99.0.0/24' });
      const dir = world.makeDir('ipam/testnet');
      writeFileSync(join(dir, '10.99.0.50'), 'a');
      writeFileSync(join(dir, '10.99.0.51'), ' a\r\neth0 \n');
      writeFileSync(join(dir, '10.99.0.52'), 'other');
      await del(subject, config, 'a');
      await del(subject, config, 'a');
      assert.deepEqual(world.reservations('testnet'), ['10.99.0.52']);
    });

    test('a damaged last-reserved file (CNI-02)', async () => {
      using world = new World();
      const config = ipamConfig(world, { subnet: '10.99.0.0/24' });
      writeFileSync(join(world.makeDir('ipam/testnet'), 'last_reserved_ip.0'), '10.99.');
      assert.equal(await firstIp(add(subject, config, 'a')), '10.99.0.2/24');
    });

    test('resolvConf', async () => {
      using world = new World();
      const path = join(world.dir, 'resolv.conf');
      writeFileSync(
        path,
        '# comment\nnameserver 192.0.2.1\nnameserver 192.0.2.2\ndomain example.com\nsearch a.test b.test\noptions ndots:2\n; end\n',
      );
      const result = await add(subject, ipamConfig(world, { subnet: '10.99.0.0/24', resolvConf: path }), 'a');
      assert.deepEqual(result.dns, {
        nameservers: ['192.0.2.1', '192.0.2.2'],
        domain: 'example.com',
        search: ['a.test', 'b.test'],
        options: ['ndots:2'],
      });
    });

    for (const [what, ipam, words] of badConfigs) {
      test(`refuses ${what}`, async () => {
        using world = new World();
        const error = await failureOf(add(subject, ipamConfig(world, ipam), 'a'));
        assert.match(error.message, words);
        assert.deepEqual(world.reservations('testnet'), []);
      });
    }
  });
}
