/** What iperf3 carries between pods of two nodes: over our overlay, and over the same devices made by hand. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import {
  openDatastoreLeases,
  openEmbeddedDatastore,
  parseNetworkConfig,
  readUnderlay,
  startOverlay,
} from '@amphipod/fabric';
import { parseCidr } from '@amphipod/netlink';
import { addPod, createCluster, type TestNode, until } from '../../test/cluster/nodes.ts';
import type { Row } from '../report.ts';

const SECONDS = 3;
const MTU = 1450;

/** Bits per second. */
async function iperf([from, to]: readonly [TestNode, TestNode]): Promise<number> {
  const server = spawn('nsenter', [`--net=${to.pod.pin}`, 'iperf3', '-s'], { stdio: 'ignore' });
  const exited = once(server, 'exit');
  try {
    await until('iperf3 listens', () => to.pod.run('ss', '-tln').includes(':5201'));
    const args = ['iperf3', '-c', to.podIps[0]!, '-t', `${SECONDS}`, '-J'];
    const client = spawn('nsenter', [`--net=${from.pod.pin}`, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    client.stdout.on('data', (chunk: Buffer) => {
      text += chunk;
    });
    await once(client, 'close');
    return (JSON.parse(text) as { end: { sum_received: { bits_per_second: number } } }).end.sum_received
      .bits_per_second;
  } finally {
    server.kill('SIGKILL');
    await exited;
  }
}

async function overOurs(): Promise<number> {
  using cluster = createCluster(2, 'routed');
  await using store = openEmbeddedDatastore(':memory:');
  const config = parseNetworkConfig('{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}', 'bench');
  await using stack = new AsyncDisposableStack();
  for (const node of cluster.nodes) {
    const underlay = readUnderlay(node.kernel.rtnl, { families: [4], name: 'eth0' });
    const leases = openDatastoreLeases({ store, prefix: '/bench' });
    const overlay = stack.use(
      await startOverlay({ leases, config, underlay, kernel: node.kernel, masquerade: false }),
    );
    addPod(node, [overlay.lease.subnet!], overlay.mtu);
  }
  await delay(500);
  return await iperf(cluster.nodes as [TestNode, TestNode]);
}

async function overHandMade(): Promise<number> {
  using cluster = createCluster(2, 'routed');
  const nodes = cluster.nodes as [TestNode, TestNode];
  const vtep = ({ number }: TestNode) => `10.244.${number}.0`;
  const mac = ({ number }: TestNode) => `02:00:00:00:00:0${number}`;
  for (const node of nodes) {
    const { netns } = node;
    const [other] = nodes.filter((one) => one !== node) as [TestNode];
    const device = [
      'type',
      'vxlan',
      'id',
      '1',
      'dev',
      'eth0',
      'local',
      node.ip,
      'dstport',
      '8472',
      'nolearning',
    ];
    netns.run('ip', 'link', 'add', 'flannel.1', 'address', mac(node), 'mtu', `${MTU}`, ...device);
    netns.run('ip', 'addr', 'add', `${vtep(node)}/32`, 'dev', 'flannel.1');
    netns.run('ip', 'link', 'set', 'flannel.1', 'up');
    netns.run(
      'ip',
      'neigh',
      'add',
      vtep(other),
      'lladdr',
      mac(other),
      'dev',
      'flannel.1',
      'nud',
      'permanent',
    );
    netns.run('bridge', 'fdb', 'add', mac(other), 'dev', 'flannel.1', 'dst', other.ip);
    netns.run('ip', 'route', 'add', `${vtep(other)}/24`, 'via', vtep(other), 'dev', 'flannel.1', 'onlink');
    addPod(node, [parseCidr(`${vtep(node)}/24`)], MTU);
  }
  return await iperf(nodes);
}

/** One after the other in each round. Rows hold the ms that a gigabit takes. */
export async function measureThroughput(
  rounds: number,
): Promise<{ rows: Row[]; more: Record<string, number> }> {
  const [ours, peer]: [number[], number[]] = [[], []];
  for (let round = 0; round < rounds; round++) {
    ours.push(await overOurs());
    peer.push(await overHandMade());
  }
  const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;
  const gbit = (values: number[]) => Number((median(values) / 1e9).toFixed(2));
  return {
    rows: [],
    more: {
      'iperf3 ours Gbit/s': gbit(ours),
      'iperf3 by hand Gbit/s': gbit(peer),
      'iperf3 ratio': Number((median(ours) / median(peer)).toFixed(3)),
    },
  };
}
