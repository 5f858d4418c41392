// Nodes as network namespaces on an underlay, each with one pod, for tests of the overlay.
import { execFile } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { KernelView } from '@amphipod/fabric';
import { type Cidr, formatIp, ipPlus, openNftIn, openRtnlIn } from '@amphipod/netlink';
import { createTestNetns, type TestNetns } from '../kernel/netlink-namespaces.ts';

const run = promisify(execFile);
const UNTIL_TRIES = 600;
const UNTIL_DELAY_MS = 50;

export interface TestNode extends Disposable {
  number: number;
  netns: TestNetns;
  kernel: KernelView;
  /** Addresses on the underlay. */
  ip: string;
  ipv6: string;
  pod: TestNetns;
  podIps: string[];
}

/** `switched`: all nodes on one link; `routed`: each on a link of its own, with a router between them. */
export type UnderlayKind = 'switched' | 'routed';

export interface TestCluster extends Disposable {
  nodes: TestNode[];
  /** The switch, or the router; its link to node N is `nN`. */
  middle: TestNetns;
}

export function createCluster(count: number, kind: UnderlayKind): TestCluster {
  const middle = createTestNetns();
  const nodes: TestNode[] = [];
  if (kind === 'switched') middle.run('ip', 'link', 'add', 'br0', 'up', 'type', 'bridge');
  else allowForwarding(middle);
  for (let number = 1; number <= count; number++) nodes.push(createNode(number, kind, middle));
  return {
    nodes,
    middle,
    [Symbol.dispose]() {
      for (const node of nodes) node[Symbol.dispose]();
      middle[Symbol.dispose]();
    },
  };
}

function createNode(number: number, kind: UnderlayKind, middle: TestNetns): TestNode {
  const [netns, pod] = [createTestNetns(), createTestNetns()];
  allowForwarding(netns);
  const port = `n${number}`;
  middle.run('ip', 'link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', netns.pin);
  middle.run('ip', 'link', 'set', port, 'up');
  netns.run('ip', 'link', 'set', 'eth0', 'up');
  const [net, net6] =
    kind === 'switched' ? ['192.0.2', '2001:db8:0'] : [`198.51.${number}`, `2001:db8:${number}`];
  const host = kind === 'switched' ? number : 2;
  const [ip, ipv6] = [`${net}.${host}`, `${net6}::${host}`];
  addAddresses(netns, 'eth0', [`${ip}/24`, `${ipv6}/64`]);
  if (kind === 'switched') middle.run('ip', 'link', 'set', port, 'master', 'br0');
  else {
    addAddresses(middle, port, [`${net}.1/24`, `${net6}::1/64`]);
    netns.run('ip', 'route', 'add', 'default', 'via', `${net}.1`);
    netns.run('ip', '-6', 'route', 'add', 'default', 'via', `${net6}::1`);
  }
  const kernel = { rtnl: openRtnlIn(netns.pin), nft: openNftIn(netns.pin) };
  return {
    number,
    netns,
    kernel,
    ip,
    ipv6,
    pod,
    podIps: [],
    [Symbol.dispose]() {
      kernel.rtnl.close();
      kernel.nft.close();
      pod[Symbol.dispose]();
      netns[Symbol.dispose]();
    },
  };
}

function allowForwarding(netns: TestNetns): void {
  netns.run('ip', 'link', 'set', 'lo', 'up');
  netns.run(
    'sh',
    '-c',
    'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding',
  );
}

export function addAddresses(netns: TestNetns, link: string, addresses: readonly string[]): void {
  for (const address of addresses) {
    const nodad = address.includes(':') ? ['nodad'] : [];
    netns.run('ip', 'addr', 'add', address, 'dev', link, ...nodad);
  }
}

/** Gives the node a pod with the second address of each subnet; the node has the first. */
export function addPod(node: TestNode, subnets: readonly Cidr[], mtu: number): void {
  const { netns, pod } = node;
  netns.run(
    'ip',
    'link',
    'add',
    'pod0',
    'mtu',
    `${mtu}`,
    'type',
    'veth',
    'peer',
    'name',
    'eth0',
    'netns',
    pod.pin,
  );
  netns.run('ip', 'link', 'set', 'pod0', 'up');
  pod.run('ip', 'link', 'set', 'eth0', 'up', 'mtu', `${mtu}`);
  for (const { ip, prefix } of subnets) {
    const [gateway, own] = [formatIp(ipPlus(ip, 1n)!), formatIp(ipPlus(ip, 2n)!)];
    addAddresses(netns, 'pod0', [`${gateway}/${prefix}`]);
    addAddresses(pod, 'eth0', [`${own}/${prefix}`]);
    pod.run('ip', 'route', 'add', 'default', 'via', gateway);
    node.podIps.push(own);
  }
}

/** Pairs of pods, and their addresses, that do not answer. Whole packets of the pods' MTU are sent, unfragmented by the pod. */
export async function unreachablePods(nodes: readonly TestNode[], mtu: number): Promise<string[]> {
  const pairs = nodes.flatMap((from) =>
    nodes.filter((to) => to !== from).flatMap((to) => to.podIps.map((ip) => ({ from, ip }))),
  );
  const answers = await Promise.all(pairs.map(({ from, ip }) => answersPing(from.pod, ip, mtu)));
  return pairs.filter((_, i) => !answers[i]).map(({ from, ip }) => `pod of node ${from.number} to ${ip}`);
}

/** True when one of three packets of `mtu` bytes comes back. */
export async function answersPing(from: TestNetns, ip: string, mtu = 84): Promise<boolean> {
  const headers = ip.includes(':') ? 48 : 28;
  const args = ['ping', '-c', '3', '-A', '-W', '2', '-s', `${mtu - headers}`, ip];
  return run('nsenter', [`--net=${from.pin}`, 'busybox', ...args]).then(
    () => true,
    () => false,
  );
}

/** Waits until the function gives true, by default for ten seconds. */
export async function until(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  maxTries = UNTIL_TRIES,
): Promise<void> {
  for (let tries = 0; tries < maxTries; tries++) {
    if (await isSo()) return;
    await delay(UNTIL_DELAY_MS);
  }
  throw new Error(`it does not come to this: ${what}`);
}
