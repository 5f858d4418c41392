// vm: -n 2 -i on -m 3000
// The runtime gives pods virtual functions of pools by itself: with real functions, on version 2 of the control groups.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { after, afterEach, before, describe, test } from 'node:test';
import { pciBindDriver, pciNetdevs, readPciDevice } from '@amphipod/linux';
import { projectDir } from '../cri/support/amphipod.ts';
import { useServer } from '../cri/support/fixture.ts';
import { execText, type Pod, removePod, runPod, startContainer } from '../cri/support/pods.ts';
import { run } from '../cri/support/program.ts';
import { removeAllPods } from '../cri/support/server.ts';
import { eventually } from '../cri/support/wait.ts';
import { type Card, list, Pod as NetnsPod, openCni, setUpCards, stateOf, vfOf } from './support/cards.ts';

const NETWORKS = 'k8s.v1.cni.cncf.io/networks';
const STATUS = 'k8s.v1.cni.cncf.io/network-status';

const network = (name: string, resource: string, keys: object) => ({
  kind: 'NetworkAttachmentDefinition',
  metadata: {
    ...{ name, namespace: 'shop' },
    annotations: { 'k8s.v1.cni.cncf.io/resourceName': `example.com/${resource}` },
  },
  spec: { config: JSON.stringify({ cniVersion: '1.1.0', name, type: 'sriov', ...keys }) },
});

describe('devices of pools', () => {
  let cards: [Card, Card];
  let start: object[];
  let pools: object;
  const fixture = useServer('amphipod', (dir) => ({
    flags: ['--network-dir', `${dir}/networks.d`, '--device-pools', `${dir}/pools.json`, '--failpoints'],
  }));
  const states = () => cards.map((card) => [stateOf(card, 0), stateOf(card, 1)]);

  before(async () => {
    cards = (await setUpCards(2)) as [Card, Card];
    const { dir } = fixture.server;
    mkdirSync(`${dir}/networks.d`);
    const resource = (resourceName: string, selectors: object) => ({
      ...{ resourceName, resourcePrefix: 'example.com', selectors },
    });
    const resourceList = [
      resource('fast', { pfNames: [`${cards[0].name}#0-1`] }),
      resource('dpdk', { drivers: ['vfio-pci'] }),
    ];
    pools = { resourceList };
    writeFileSync(`${dir}/pools.json`, JSON.stringify(pools));
    const ipam = { type: 'host-local', dataDir: `${dir}/ipam`, ranges: [[{ subnet: '10.203.1.0/24' }]] };
    writeFileSync(`${dir}/networks.d/fast.json`, JSON.stringify(network('fast', 'fast', { vlan: 5, ipam })));
    writeFileSync(`${dir}/networks.d/dpdk.json`, JSON.stringify(network('dpdk', 'dpdk', { vlan: 6 })));
    start = states();
  });
  // A test that failed must not leave the next one without functions.
  afterEach(() => removeAllPods(fixture.cri));
  after(() => assert.deepEqual(states()[0], start[0]));

  const podWith = (networks: string) =>
    runPod(fixture.cri, {
      metadata: { name: 'shopper', namespace: 'shop' },
      annotations: { [NETWORKS]: networks },
    });
  const deviceOf = async ({ id }: Pod): Promise<string> => {
    const { status } = await fixture.cri.podSandboxStatus({ podSandboxId: id, verbose: false });
    const networks = JSON.parse(status!.annotations[STATUS]!) as {
      'device-info'?: { pci: { 'pci-address': string } };
    }[];
    return networks[1]!['device-info']!.pci['pci-address'];
  };

  test('each pod gets a function of its own; when none is left the pod fails and leaves nothing', async () => {
    const [one, two] = await Promise.all([podWith('fast'), podWith('fast')]);
    assert.deepEqual([await deviceOf(one), await deviceOf(two)].sort(), cards[0].vfs);
    assert.deepEqual([vfOf(cards[0], 0).vlan.id, vfOf(cards[0], 1).vlan.id], [5, 5]);
    await assert.rejects(podWith('fast'), {
      message: /none of "example\.com\/fast" is free: it has 2, 2 of them healthy/,
    });
    const id = await startContainer(fixture.cri, one, { image: fixture.image });
    assert.match(await execText(fixture.cri, id, ['ip', 'link', 'show', 'net1']), /net1: <[A-Z,_-]*UP/);
    assert.equal(
      await execText(fixture.cri, id, ['sh', '-c', 'echo $PCIDEVICE_EXAMPLE_COM_FAST']),
      `${await deviceOf(one)}\n`,
    );

    const listed = await run([`${projectDir}/bin/amphipod`, 'net', 'devices']);
    assert.match(
      listed,
      new RegExp(`^${cards[0].vfs[0]} +${cards[0].name} +0 +- +igbvf .*vlan 5 +fast [0-9a-f]{12}/net1$`, 'm'),
    );
    await run(['ip', 'link', 'set', cards[0].name, 'vf', '0', 'trust', 'on']);
    const drifted = await run([`${projectDir}/bin/amphipod`, 'net', 'devices']);
    assert.match(drifted, /trust on\s*$/m);

    await removePod(fixture.cri, one);
    await removePod(fixture.cri, two);
    assert.deepEqual(states()[0], start[0]);
  });

  test('the daemon is killed and comes back: the pod keeps its function, and gives it back in the end', async () => {
    const pod = await podWith('fast');
    const address = await deviceOf(pod);
    await fixture.server.kill();
    await fixture.server.start();
    assert.equal(await deviceOf(pod), address);
    const other = await podWith('fast');
    assert.notEqual(await deviceOf(other), address);
    await removePod(fixture.cri, pod);
    await removePod(fixture.cri, other);
    assert.deepEqual(states()[0], start[0]);
  });

  test('killed right after the function is with the pod: the next start puts it back', async () => {
    writeFileSync(`${fixture.server.dir}/state/failpoint`, 'run-pod-sandbox.further-networks kill');
    await assert.rejects(podWith('fast'));
    await eventually('the end of the daemon', () => fixture.server.program().exitStatus());
    assert.notDeepEqual(states()[0], start[0]);
    await fixture.server.start();
    assert.deepEqual(states()[0], start[0]);
  });

  test('vfio-pci: the container gets the group of its function and can open it', async () => {
    await run(['modprobe', 'vfio-pci']);
    const address = cards[1].vfs[1]!;
    pciBindDriver(address, 'vfio-pci');
    const group = `/dev/vfio/${readPciDevice(address)!.iommuGroup}`;
    const pod = await podWith('dpdk');
    assert.equal(await deviceOf(pod), address);
    assert.equal(vfOf(cards[1], 1).vlan.id, 6);
    const id = await startContainer(fixture.cri, pod, { image: fixture.image });
    assert.equal(await execText(fixture.cri, id, ['sh', '-c', `exec 3<>${group} && echo open`]), 'open\n');
    assert.equal(
      await execText(fixture.cri, id, ['ls', '/dev/vfio']),
      `${group.slice('/dev/vfio/'.length)}\nvfio\n`,
    );
    await removePod(fixture.cri, pod);
    assert.equal(vfOf(cards[1], 1).vlan.id, 0);
    pciBindDriver(address, undefined);
    await eventually('interface', () => pciNetdevs(address)[0]);
  });

  test('the declared number of virtual functions is there after a start, unless a pod has one', async () => {
    const [, card] = cards;
    const declare = async (count: number) => {
      const vfCounts = { [card.name]: count };
      writeFileSync(`${fixture.server.dir}/pools.json`, JSON.stringify({ ...pools, vfCounts }));
      await fixture.server.kill('SIGTERM');
      await fixture.server.start();
      return readPciDevice(card.address)!.vfCount;
    };
    assert.equal(await declare(3), 3);
    using pod = new NetnsPod('holder');
    const cni = openCni();
    const net = list('byhand', { deviceID: card.vfs[0] });
    await eventually('interface', () => pciNetdevs(card.vfs[0]!)[0]);
    await cni.addList(net, pod.attachment());
    assert.equal(await declare(2), 3);
    await cni.delList(net, pod.attachment());
    assert.equal(await declare(2), 2);
  });
});
