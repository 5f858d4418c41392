import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { discoverDevices } from './discover.ts';
import { parseDeviceConfig, parseRoot, readDeviceConfig } from './pool-config.ts';

/** Two cards of three virtual functions each, the second down; and a card without any. */
function fakeSysfs(): { sysfs: string } & Disposable {
  const sysfs = mkdtempSync(join(tmpdir(), 'sysfs-'));
  const devices = join(sysfs, 'bus/pci/devices');
  const add = (address: string, driver: string, files: Record<string, string>) => {
    const dir = join(devices, address);
    mkdirSync(dir, { recursive: true });
    mkdirSync(join(sysfs, 'bus/pci/drivers', driver), { recursive: true });
    symlinkSync(`../../drivers/${driver}`, join(dir, 'driver'));
    const all = { vendor: '0x8086', device: '0x10c9', class: '0x020000', numa_node: '1', ...files };
    for (const [name, text] of Object.entries(all)) writeFileSync(join(dir, name), `${text}\n`);
    return dir;
  };
  for (const [bus, name, numa] of [
    ['01', 'ens1f0', '0'],
    ['02', 'ens2f0', '1'],
  ] as const) {
    const pf = add(`0000:${bus}:00.0`, 'igb', { sriov_totalvfs: '7', sriov_numvfs: '3', numa_node: numa });
    mkdirSync(join(pf, 'net', name), { recursive: true });
    for (const i of [0, 1, 2]) {
      const driver = i === 2 ? 'vfio-pci' : 'igbvf';
      const vf = add(`0000:${bus}:10.${i}`, driver, { device: '0x10ca', numa_node: numa });
      symlinkSync(`../0000:${bus}:00.0`, join(vf, 'physfn'));
      symlinkSync(`../0000:${bus}:10.${i}`, join(pf, `virtfn${i}`));
    }
  }
  mkdirSync(join(add('0000:03:00.0', 'e1000e', { device: '0x10d3' }), 'net/ens3'), { recursive: true });
  add('0000:00:1f.0', 'ahci', { class: '0x010601' });
  return { sysfs, [Symbol.dispose]: () => rmSync(sysfs, { recursive: true }) };
}

const pool = (selectors: object) =>
  parseDeviceConfig(JSON.stringify({ resourceList: [{ resourceName: 'fast', selectors }] }), 'f').pools[0]!;

function addresses(sysfs: string, selectors: object): string[] {
  return discoverDevices(pool(selectors), { sysfs, isUp: () => true }).map(({ address }) => address);
}

test('selectors: all that are given have to fit; several selectors add up', () => {
  using fake = fakeSysfs();
  const find = (selectors: object) => addresses(fake.sysfs, selectors);
  assert.deepEqual(find({ vendors: ['8086'], devices: ['10CA'], drivers: ['vfio-pci'] }), [
    '0000:01:10.2',
    '0000:02:10.2',
  ]);
  assert.deepEqual(find({ pfNames: ['ens1f0#0-1'] }), ['0000:01:10.0', '0000:01:10.1']);
  assert.deepEqual(find({ pfNames: ['ens1f0#0,2', 'ens2f0#1'] }), [
    '0000:01:10.0',
    '0000:01:10.2',
    '0000:02:10.1',
  ]);
  assert.deepEqual(find({ rootDevices: ['0000:02:00.0#2'] }), ['0000:02:10.2']);
  assert.deepEqual(find({ pciAddresses: ['0000:03:00.0'] }), ['0000:03:00.0']);
  assert.deepEqual(find([{ pfNames: ['ens3'] }, { pciAddresses: ['0000:01:10.1'] }]), [
    '0000:01:10.1',
    '0000:03:00.0',
  ]);
  assert.deepEqual(find({ vendors: ['15b3'] }), []);
  // Cards with virtual functions, and what is no network card, are in no pool.
  assert.deepEqual(find({ vendors: ['8086'] }).length, 7);
});

test('a virtual function is as well as its card', () => {
  using fake = fakeSysfs();
  const devices = discoverDevices(pool({ devices: ['10ca'] }), {
    sysfs: fake.sysfs,
    isUp: (name) => name === 'ens1f0',
  });
  assert.deepEqual(
    devices.filter(({ isHealthy }) => isHealthy).map(({ address }) => address),
    ['0000:01:10.0', '0000:01:10.1', '0000:01:10.2'],
  );
  rmSync(join(fake.sysfs, 'bus/pci/devices/0000:01:10.0/driver'));
  const [first] = discoverDevices(pool({ devices: ['10ca'] }), { sysfs: fake.sysfs, isUp: () => true });
  assert.deepEqual([first!.address, first!.isHealthy], ['0000:01:10.0', false]);
});

test('ranges of virtual functions', () => {
  assert.deepEqual(parseRoot('ens1f0'), { root: 'ens1f0', indexes: undefined });
  assert.deepEqual([...parseRoot('ens1f0#0-2,5')!.indexes!], [0, 1, 2, 5]);
  for (const bad of ['', '#1', 'a#', 'a#x', 'a#3-1', 'a#1#2', 'a#-1'])
    assert.equal(parseRoot(bad), undefined, bad);
});

test('a configuration of the peer is read; what is not heeded is refused', () => {
  const { pools, vfCounts } = parseDeviceConfig(
    JSON.stringify({
      resourceList: [
        {
          resourceName: 'fast',
          resourcePrefix: 'example.com',
          selectors: [{ drivers: ['igbvf'] }],
          excludeTopology: true,
        },
        { resourceName: 'dpdk', selectors: { drivers: ['vfio-pci'], needVhostNet: true } },
      ],
      vfCounts: { ens1f0: 4, '0000:02:00.0': 2 },
    }),
    'f',
  );
  assert.deepEqual(
    pools.map(({ resourceName, excludeTopology, selectors }) => [
      resourceName,
      excludeTopology,
      selectors.length,
    ]),
    [
      ['example.com/fast', true, 1],
      ['intel.com/dpdk', false, 1],
    ],
  );
  assert.deepEqual(vfCounts, { ens1f0: 4, '0000:02:00.0': 2 });
  const refused: [string, RegExp][] = [
    ['{', /read devices f: JSON: /],
    ['[]', /the file: got \[\], want an object/],
    ['{"resources": []}', /resources: not supported/],
    ['{"resourceList": {}}', /resourceList: want a list/],
    ['{"resourceList": [{"resourceName": "a b"}]}', /resourceList\[0\]\.resourceName: got "a b"/],
    [
      '{"resourceList": [{"resourceName": "a", "deviceType": "accelerator"}]}',
      /deviceType: got "accelerator"/,
    ],
    [
      '{"resourceList": [{"resourceName": "a", "selectors": {"ddpProfiles": ["x"]}}]}',
      /selectors\.ddpProfiles: not supported/,
    ],
    [
      '{"resourceList": [{"resourceName": "a", "selectors": {"vendors": "8086"}}]}',
      /selectors\.vendors: got "8086", want a list/,
    ],
    [
      '{"resourceList": [{"resourceName": "a", "selectors": [{"pfNames": ["a#x"]}]}]}',
      /selectors\[0\]: "a#x": want NAME/,
    ],
    [
      '{"resourceList": [{"resourceName": "a"}, {"resourceName": "a"}]}',
      /resourceList\[1\]\.resourceName: "intel\.com\/a" is there already/,
    ],
    ['{"vfCounts": {"ens1f0": -1}}', /vfCounts\.ens1f0: got -1/],
  ];
  for (const [text, message] of refused) {
    assert.throws(() => parseDeviceConfig(text, 'f'), { code: 'invalid-argument', message }, text);
  }
  assert.deepEqual(readDeviceConfig('/nonexistent/file'), { pools: [], vfCounts: {} });
});
