// vm: -n 1 -i off
/**
 * What ADD and DEL of the plugin sriov cost beside the messages that the kernel needs for the same, sent by hand; on a virtual function of
 * an igb card under QEMU. `bash scripts/vm-tests.sh bench/sriov.ts`
 */

import { closeSync, openSync } from 'node:fs';
import { bindPlugin, type PluginRequest } from '@amphipod/cni';
import { pciNetdevs } from '@amphipod/linux';
import { addrAdd, linkGet, linkSet, openRtnlIn, parseCidr, type Rtnl, vfSet } from '@amphipod/netlink';
import { openPluginHost, sriov } from '@amphipod/plugins';
import { Pod, rtnl, setUpCards } from '../test/vm/support/cards.ts';
import { printResult, printTable, type Row, summarize } from './report.ts';

const ROUNDS = 15;
const WARM_UP = 10;
const VLAN = 100;
const ADDRESS = '10.9.9.1/24';

const [card] = await setUpCards(1);
const address = card!.vfs[0]!;
const hostName = pciNetdevs(address)[0]!;
const pfIndex = linkGet(rtnl, card!.name).ifIndex;
const noVlan = { id: 0, qos: 0, protocol: '802.1Q' } as const;

const host = openPluginHost();
const plugin = bindPlugin(sriov, () => host);

function request(pod: Pod, hasAddress: boolean): PluginRequest {
  return {
    ...{ containerID: pod.name, netns: pod.netns, ifName: 'net1', args: '' },
    config: {
      ...{ cniVersion: '1.1.0', name: 'bench', type: 'sriov', deviceID: address, vlan: VLAN },
      ...(hasAddress && { ipam: { type: 'fixed' } }),
    },
    delegate: async (_type, command) => (command === 'ADD' ? { ips: [{ address: ADDRESS }] } : {}),
    signal: new AbortController().signal,
  };
}

/** Waits for the carrier as the plugin does: without it the first frames are lost. */
async function carrier(conn: Rtnl, ifIndex: number): Promise<void> {
  for (let step = 0; step < 20 && !linkGet(conn, ifIndex).flags.lowerUp; step++) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function addByHand(pod: Pod, hasAddress: boolean): Promise<void> {
  const { ifIndex } = linkGet(rtnl, hostName);
  vfSet(rtnl, pfIndex, { index: 0, vlan: { id: VLAN, qos: 0, protocol: '802.1Q' } });
  const netnsFd = openSync(pod.netns, 'r');
  linkSet(rtnl, ifIndex, { netnsFd, name: 'net1' });
  closeSync(netnsFd);
  using conn = openRtnlIn(pod.netns);
  const link = linkGet(conn, 'net1');
  linkSet(conn, link.ifIndex, { up: true });
  if (!hasAddress) return;
  await carrier(conn, link.ifIndex);
  addrAdd(conn, link.ifIndex, parseCidr(ADDRESS));
}

async function delByHand(pod: Pod): Promise<void> {
  using conn = openRtnlIn(pod.netns);
  const { ifIndex } = linkGet(conn, 'net1');
  linkSet(conn, ifIndex, { up: false });
  const netnsFd = openSync('/proc/thread-self/ns/net', 'r');
  linkSet(conn, ifIndex, { netnsFd, name: hostName });
  closeSync(netnsFd);
  vfSet(rtnl, pfIndex, { index: 0, vlan: noVlan });
}

const ways = {
  peer: { add: addByHand, del: delByHand },
  ours: {
    add: async (pod: Pod, hasAddress: boolean) => void (await plugin.call('ADD', request(pod, hasAddress))),
    del: async (pod: Pod, hasAddress: boolean) => void (await plugin.call('DEL', request(pod, hasAddress))),
  },
};

async function timed(work: () => Promise<void>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

const rows: Row[] = [];
for (const hasAddress of [false, true]) {
  const times = {
    add: { ours: [] as number[], peer: [] as number[] },
    del: { ours: [] as number[], peer: [] as number[] },
  };
  for (let round = -WARM_UP; round < ROUNDS; round++) {
    for (const way of ['peer', 'ours'] as const) {
      using pod = new Pod('bench');
      const { add, del } = ways[way];
      const addMs = await timed(() => add(pod, hasAddress));
      const delMs = await timed(() => del(pod, hasAddress));
      if (round < 0) continue;
      times.add[way].push(addMs);
      times.del[way].push(delMs);
    }
  }
  const suffix = hasAddress ? ', an address' : '';
  for (const [name, { ours, peer }] of Object.entries(times)) {
    rows.push({ name: `${name.toUpperCase()}${suffix}`, ours: summarize(ours), peer: summarize(peer) });
  }
}
printTable(rows);
printResult('sriov', 'netlink by hand', rows);
rtnl.close();
host.rtnl.close();
