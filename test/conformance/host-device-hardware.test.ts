/**
 * host-device with a network card: what becomes of it when its namespace ends, and with a driver for user space. It takes a card
 * away from the machine, so it runs only where AMPHIPOD_TEST_NIC names one to spare, and in the first network namespace.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createPinnedNamespaces, namespaceId, unpinNamespace } from '@amphipod/linux';
import { type Subject, subjects } from './lib/subjects.ts';
import { call, type IpLink, link, run } from './lib/world.ts';

const nic = process.env.AMPHIPOD_TEST_NIC ?? '';
const skip =
  nic === ''
    ? 'AMPHIPOD_TEST_NIC names no network card to spare'
    : namespaceId('/proc/1/ns/net') !== namespaceId('/proc/self/ns/net') &&
      'hardware returns to the first network namespace, and this is another';
const pciBusID = skip ? '' : basename(realpathSync(`/sys/class/net/${nic}/device`));

/** A pod's namespace, until it is ended or disposed of. */
function makePod(): { netns: string; end(): void } & Disposable {
  const dir = mkdtempSync(join(tmpdir(), 'cni-test-'));
  const netns = join(dir, 'pod');
  createPinnedNamespaces({ net: netns });
  const end = () => unpinNamespace(netns);
  return {
    netns,
    end,
    [Symbol.dispose]() {
      end();
      rmSync(dir, { recursive: true });
    },
  };
}

/** The kernel takes a namespace down in the background. */
async function untilBack(name: string): Promise<IpLink> {
  for (let waitedMs = 0; waitedMs < 30_000; waitedMs += 100) {
    const found = link(name);
    if (found !== undefined) return found;
    await sleep(100);
  }
  throw new Error(`${name} did not return to the host`);
}

const ours = subjects.filter(({ isOurs }) => isOurs);
for (const subject of ours) {
  describe(`host-device with hardware, ${subject.name}`, { skip }, () => {
    returns(subject);
    test('a driver for user space: the result has no hardware address, and nothing moves', (context) => {
      if (!bindVfio()) {
        context.skip('the card cannot be bound to vfio-pci here');
        return;
      }
      return withVfio(subject);
    });
  });
}

function returns(subject: Subject): void {
  const config = { type: 'host-device', pciBusID };
  const attachment = { containerID: 'c1', ifName: 'pod9' };

  test('by PCI address, and back', async () => {
    using pod = makePod();
    const result = await call(subject, 'ADD', config, { netns: pod.netns, ...attachment });
    assert.equal(link(nic), undefined);
    assert.equal(result.interfaces![0]!.mac, link('pod9', pod.netns)!.address);
    await call(subject, 'CHECK', config, { netns: pod.netns, ...attachment, prevResult: result });
    await call(subject, 'DEL', config, { netns: pod.netns, ...attachment, prevResult: result });
    assert.equal(link(nic)!.ifalias, undefined);
  });

  const ways: Record<string, (netns: string) => Promise<unknown>> = {
    'DEL without a namespace': () => call(subject, 'DEL', config, attachment),
    GC: () => call(subject, 'GC', config, { validAttachments: [] }),
    'ADD for another pod, and its DEL': async (netns) => {
      const other = { containerID: 'c2', ifName: 'pod8', netns };
      const prevResult = await call(subject, 'ADD', { type: 'host-device', device: nic }, other);
      await call(subject, 'DEL', { type: 'host-device', device: nic }, { ...other, prevResult });
    },
  };
  for (const [name, act] of Object.entries(ways)) {
    test(`the namespace ends first: ${name} gives the card its own name back`, async () => {
      using other = makePod();
      using pod = makePod();
      await call(subject, 'ADD', config, { netns: pod.netns, ...attachment });
      pod.end();
      assert.equal((await untilBack('pod9')).ifalias, `cni testnet c1/pod9 was ${nic}`);
      await act(other.netns);
      assert.equal(link('pod9'), undefined);
      assert.equal(link(nic)!.ifalias, undefined);
    });
  }
}

const device = `/sys/bus/pci/devices/${pciBusID}`;

function bindVfio(): boolean {
  try {
    execFileSync('modprobe', ['vfio-pci'], { stdio: 'ignore' });
    writeFileSync(`${device}/driver_override`, 'vfio-pci');
    writeFileSync(`${device}/driver/unbind`, pciBusID);
    writeFileSync('/sys/bus/pci/drivers_probe', pciBusID);
  } catch {
    return false;
  }
  return existsSync(`/sys/bus/pci/drivers/vfio-pci/${pciBusID}`);
}

async function withVfio(subject: Subject): Promise<void> {
  try {
    using pod = makePod();
    const dataDir = join(pod.netns, '../ipam');
    const ipam = { type: 'host-local', subnet: '10.99.0.0/24', dataDir };
    const config = { type: 'host-device', runtimeConfig: { deviceID: pciBusID }, ipam };
    const result = await call(subject, 'ADD', config, { netns: pod.netns });
    assert.deepEqual(result, {
      interfaces: [{ name: 'eth0', sandbox: pod.netns }],
      ips: [{ address: '10.99.0.2/24', gateway: '10.99.0.1', interface: 0 }],
    });
    assert.equal(link('eth0', pod.netns), undefined);
    await call(subject, 'CHECK', config, { netns: pod.netns, prevResult: result });
    await call(subject, 'DEL', config, { netns: pod.netns, prevResult: result });
    assert.deepEqual(run('ls', join(dataDir, 'testnet')).includes('10.99.0.2'), false);
  } finally {
    writeFileSync(`${device}/driver_override`, '\n');
    writeFileSync(`${device}/driver/unbind`, pciBusID);
    writeFileSync('/sys/bus/pci/drivers_probe', pciBusID);
    await untilBack(nic);
  }
}
