// Nodes on one link, each with `amphipod agent` as a process in its own network namespace and a pod, and a real etcd beside them.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Datastore, openEtcdDatastore } from '@amphipod/fabric';
import { parseCidr } from '@amphipod/netlink';
import { startEtcd } from './etcd-server.ts';
import { addPod, createCluster, type TestNode, unreachablePods, until } from './nodes.ts';

export const prefix = '/coreos.com/network';
const program = join(import.meta.dirname, '../../bin/amphipod');
const ETCD_HOST = '192.0.2.254';

/** What subnet.env says. */
export interface Subnets {
  /** `10.244.3.0/24` */
  subnet: string;
  ipv6Subnet: string;
  mtu: number;
}

export interface AgentNode extends TestNode {
  /** Starts the agent and waits until it says which subnets the node has. */
  start(): Promise<Subnets>;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** All that a machine has forgotten that takes the place of this one. */
  forget(): void;
  output(): string;
  subnets(): Subnets;
}

export interface AgentCluster extends AsyncDisposable {
  nodes: AgentNode[];
  store: Datastore;
}

/** Starts everything, and waits until every pod reaches every pod. */
export async function startAgents(count: number, backend: object): Promise<AgentCluster> {
  await using stack = new AsyncDisposableStack();
  const dir = mkdtempSync(join(tmpdir(), 'agents-test-'));
  stack.defer(() => rmSync(dir, { recursive: true, force: true }));
  const cluster = stack.use(createCluster(count, 'switched'));
  const { middle } = cluster;
  const ip = (...args: string[]): void => {
    execFileSync('ip', args);
  };
  ip('link', 'add', 'under0', 'type', 'veth', 'peer', 'name', 'etcd', 'netns', middle.pin);
  stack.defer(() => ip('link', 'del', 'under0'));
  middle.run('ip', 'link', 'set', 'etcd', 'up', 'master', 'br0');
  ip('addr', 'add', `${ETCD_HOST}/24`, 'dev', 'under0');
  ip('link', 'set', 'under0', 'up');
  const server = stack.use(await startEtcd({ host: ETCD_HOST }));
  const store = stack.use(openEtcdDatastore({ endpoints: server.endpoints }));
  const networks = { Network: '10.244.0.0/16', EnableIPv6: true, IPv6Network: 'fc00:244::/48' };
  await store.put(`${prefix}/config`, JSON.stringify({ ...networks, Backend: backend }));
  const nodes = cluster.nodes.map((node) => createAgentNode(node, { dir, endpoint: server.endpoints[0]! }));
  for (const node of nodes) stack.defer(() => node.kill());
  const all = await Promise.all(nodes.map((node) => node.start()));
  for (const [i, { subnet, ipv6Subnet, mtu }] of all.entries()) {
    addPod(nodes[i]!, [parseCidr(subnet), parseCidr(ipv6Subnet)], mtu);
  }
  await untilAllReach(nodes);
  const rest = stack.move();
  return { nodes, store, [Symbol.asyncDispose]: () => rest.disposeAsync() };
}

/** Waits until every pod reaches every pod, with packets of the full size. */
export async function untilAllReach(nodes: readonly AgentNode[]): Promise<void> {
  const { mtu } = nodes[0]!.subnets();
  let missing: string[] = [];
  await until('every pod reaches every pod', async () => {
    missing = await unreachablePods(nodes, mtu);
    return missing.length === 0;
  }).catch((error: Error) => {
    const outputs = nodes.map((node) => `node ${node.number}:\n${node.output()}`);
    throw new Error(`${error.message}; missing: ${missing.join(', ')}\n${outputs.join('\n')}`);
  });
}

function createAgentNode(node: TestNode, { dir, endpoint }: { dir: string; endpoint: string }): AgentNode {
  const file = join(dir, `node-${node.number}`, 'subnet.env');
  let child: ChildProcess | undefined;
  let output = '';
  const subnets = (): Subnets => {
    const text = readFileSync(file, 'utf8');
    const value = (key: string) => new RegExp(`^${key}=(.*)$`, 'm').exec(text)![1]!;
    return {
      subnet: value('FLANNEL_SUBNET').replace(/\.1\//, '.0/'),
      ipv6Subnet: value('FLANNEL_IPV6_SUBNET').replace(/::1\//, '::/'),
      mtu: Number(value('FLANNEL_MTU')),
    };
  };
  const kill = async () => {
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  };
  return Object.assign(node, {
    subnets,
    kill,
    output: () => output,
    async start() {
      output = '';
      const args = ['--etcd-endpoints', endpoint, '--iface', 'eth0', '--subnet-file', file, '--ip-masq'];
      args.push('--control-socket', join(dir, `node-${node.number}.sock`));
      child = spawn('nsenter', [`--net=${node.netns.pin}`, program, 'agent', ...args], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      child.stderr!.on('data', (chunk: Buffer) => {
        output += chunk;
      });
      await until(`node ${node.number} is ready`, () => {
        if (child!.exitCode !== null) throw new Error(output);
        return / ready\b/.test(output) && existsSync(file);
      });
      return subnets();
    },
    forget() {
      rmSync(file);
      for (const link of ['flannel.1', 'flannel-v6.1']) node.netns.run('ip', 'link', 'del', link);
      node.netns.run('nft', 'flush', 'ruleset');
    },
  });
}
