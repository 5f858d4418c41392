import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type Attachment, createCni, parseJson, parseNetworkConfigList, stringifyJson } from '@amphipod/cni';
import { subjects } from './lib/subjects.ts';
import { links, routes, World } from './lib/world.ts';

/** Configurations that both sets of plugins take; the bridge's and directory's names are filled in. */
const configs: Record<string, object> = {
  'layer 2': { plugins: [{ type: 'bridge', bridge: 'tb0' }] },
  gateway: {
    plugins: [
      {
        type: 'bridge',
        bridge: 'tb0',
        isGateway: true,
        ipam: { type: 'host-local', subnet: '10.99.0.0/24' },
      },
    ],
  },
  'default gateway, mtu, hairpin': {
    plugins: [
      {
        type: 'bridge',
        bridge: 'tb0',
        isDefaultGateway: true,
        mtu: 1400,
        hairpinMode: true,
        ipam: { type: 'host-local', subnet: '10.99.0.0/24' },
      },
    ],
  },
  'two families with routes and dns': {
    plugins: [
      {
        type: 'bridge',
        bridge: 'tb0',
        isGateway: true,
        dns: { nameservers: ['192.0.2.53'], search: ['a.test'] },
        ipam: {
          type: 'host-local',
          ranges: [[{ subnet: '10.99.0.0/24', rangeStart: '10.99.0.100' }], [{ subnet: 'fd00:99::/64' }]],
          routes: [{ dst: '0.0.0.0/0' }, { dst: '::/0' }, { dst: '10.5.0.0/16', gw: '10.99.0.7' }],
        },
      },
    ],
  },
  'masquerading and a port': {
    plugins: [
      {
        type: 'bridge',
        bridge: 'tb0',
        isGateway: true,
        ipMasq: true,
        ipam: { type: 'host-local', subnet: '10.99.0.0/24', routes: [{ dst: '0.0.0.0/0' }] },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  },
};

interface Observed {
  result: unknown;
  cached: unknown;
  host: unknown;
  pod: unknown;
  routes: unknown;
  files: string[];
}

/** What differs from run to run: hardware addresses, random names, paths, and `dns: {}`, which only the reference writes. */
function mask(value: unknown, world: World): unknown {
  const text = stringifyJson(value)
    .replaceAll(/([0-9a-f]{2}:){5}[0-9a-f]{2}/g, 'MAC')
    .replaceAll(/veth[0-9a-f]{8}/g, 'VETH')
    .replaceAll(world.dir, 'DIR')
    .replaceAll(/,?"dns":\{\}/g, '');
  return parseJson(text);
}

function describeLinks(netns?: string): unknown {
  return links(netns)
    .map(({ ifname, mtu, operstate, master, linkinfo, addr_info }) => ({
      ifname,
      mtu,
      operstate,
      master,
      kind: linkinfo?.info_kind,
      hairpin: linkinfo?.info_slave_data?.hairpin,
      addresses: addr_info
        .filter(({ scope }) => scope === 'global')
        .map(({ local, prefixlen }) => `${local}/${prefixlen}`),
    }))
    .sort((a, b) => a.ifname.localeCompare(b.ifname));
}

async function observe(subjectIndex: number, version: string, config: object): Promise<Observed> {
  const subject = subjects[subjectIndex]!;
  using world = new World();
  const text = JSON.stringify({ cniVersion: version, name: 'diffnet', ...config });
  const list = parseNetworkConfigList(
    text.replaceAll('"type":"host-local"', `"type":"host-local","dataDir":${JSON.stringify(world.dataDir)}`),
  );
  const cni = createCni({
    pluginDirs: subject.pluginDirs,
    cacheDir: world.dir,
    ...(subject.inProcess && { inProcess: subject.inProcess }),
  });
  const netns = world.netns('pod');
  const attachment: Attachment = {
    containerID: 'diffpod',
    netns,
    ifName: 'eth0',
    capabilityArgs: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] },
  };
  const result = await cni.addList(list, attachment);
  const cache = parseJson(readFileSync(join(world.dir, 'results', 'diffnet-diffpod-eth0'), 'utf8')) as {
    config: unknown;
  };
  const observed = {
    result,
    cached: { ...cache, config: undefined },
    host: describeLinks(),
    pod: describeLinks(netns),
    routes: routes(netns).map(({ dst, gateway, dev }) => ({ dst, gateway, dev })),
    files: world.reservations('diffnet'),
  };
  // The reference (1.1.1) can check neither a bridge without IPAM nor ports without IPv6.
  const canCheck =
    version !== '0.3.1' && (subject.isOurs || (text.includes('host-local') && !text.includes('portmap')));
  if (canCheck) await cni.checkList(list, attachment);
  await cni.delList(list, attachment);
  assert.deepEqual(world.reservations('diffnet'), []);
  return mask(observed, world) as Observed;
}

describe('ours and the reference do the same', () => {
  for (const [name, config] of Object.entries(configs)) {
    for (const version of ['0.3.1', '0.4.0', '1.0.0']) {
      test(`${name}, ${version}`, async () => {
        const reference = await observe(2, version, config);
        assert.deepEqual(await observe(0, version, config), reference);
      });
    }
    test(`${name}, ours executed`, async () => {
      assert.deepEqual(await observe(1, '1.0.0', config), await observe(0, '1.0.0', config));
    });
  }
});
