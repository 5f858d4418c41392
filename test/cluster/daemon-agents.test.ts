// `amphipod up --agent` on two nodes: one process each, no etcd, nothing configured but how they find each other.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { startAmphipod } from '../cri/support/amphipod.ts';
import { type Pod, removeCgroups, removePod, runPod } from '../cri/support/pods.ts';
import { run, runAny } from '../cri/support/program.ts';
import { makeScratch, type Scratch } from '../cri/support/scratch.ts';
import type { CriServer } from '../cri/support/server.ts';
import { createCluster, type TestCluster, type TestNode, until } from './nodes.ts';

const address = '198.51.1.2:2379';
const program = new URL('../../bin/amphipod', import.meta.url).pathname;
let scratch: Scratch;
let cluster: TestCluster;
const servers: CriServer[] = [];

/** A node has its own /run and /var/lib/cni, as a machine has. */
function onNode({ netns }: TestNode): string[] {
  const mounts = 'mount -t tmpfs run /run && mkdir -p /var/lib/cni && mount -t tmpfs cni /var/lib/cni';
  return [
    ...['nsenter', `--net=${netns.pin}`, 'unshare', '--mount', '--propagation', 'slave'],
    ...['sh', '-c', `${mounts} && exec "$@"`, 'sh'],
  ];
}

async function startNode(node: TestNode, settings: string): Promise<CriServer> {
  const dir = `${scratch.dir}/${node.number}`;
  mkdirSync(dir);
  writeFileSync(`${dir}/config.toml`, `[agent]\n${settings}\nip_masq = true\n`);
  const flags = ['--agent', '--config', `${dir}/config.toml`];
  const server = await startAmphipod({ dir, cniConfigs: {}, flags, wrapper: onNode(node) });
  servers.push(server);
  return server;
}

/** A command in the daemon's own view of the machine. */
const inside = (server: CriServer, ...command: string[]) =>
  runAny(['nsenter', `--target=${server.program().pid}`, '--mount', '--net', ...command]);

/** A pod, once the node has its network; its address, and where its network namespace is pinned. */
async function startPod(server: CriServer): Promise<{ pod: Pod; ip: string; netns: string }> {
  let pod: Pod | undefined;
  let refusal: unknown;
  await until('a pod starts', async () => {
    pod = await runPod(server.cri).catch((error: unknown) => {
      refusal = error;
      return undefined;
    });
    return pod !== undefined;
  }).catch((error: Error) => {
    throw new Error(error.message, { cause: refusal });
  });
  const { status } = await server.cri.podSandboxStatus({ podSandboxId: pod!.id });
  return { pod: pod!, ip: status!.network!.ip, netns: `${server.dir}/state/sandboxes/${pod!.id}/net` };
}

before(async () => {
  scratch = makeScratch('daemon-agents');
  cluster = createCluster(2, 'routed');
  await startNode(
    cluster.nodes[0]!,
    `serve = "${address}"\nserve_open = true\ndatabase = "${scratch.dir}/agent.db"`,
  );
  // Its file is not there yet when the second starts.
  const late = `${scratch.dir}/net-conf.json`;
  const second = await startNode(
    cluster.nodes[1]!,
    `etcd_endpoints = ["http://${address}"]\nnet_config = "${late}"`,
  );
  const log = () => readFileSync(second.program().logFile, 'utf8');
  await until('the agent says what it lacks', () => /network agent: ENOENT.*net-conf\.json/.test(log()));
  writeFileSync(late, '{"Network":"10.244.0.0/16","Backend":{"Type":"vxlan"}}');
});

after(async () => {
  for (const server of servers) await server[Symbol.asyncDispose]();
  await removeCgroups();
  cluster[Symbol.dispose]();
  scratch[Symbol.dispose]();
});

test('pods of two nodes reach each other; one process for a node; the network was written for them', async () => {
  const [first, second] = servers as [CriServer, CriServer];
  const pods = [await startPod(first), await startPod(second)] as const;
  assert.match(pods[0].ip, /^10\.244\./);
  assert.notEqual(pods[0].ip.split('.')[2], pods[1].ip.split('.')[2]);
  await until('one pod reaches the other', async () => {
    const ping = ['busybox', 'ping', '-c', '1', '-W', '1', '-s', '1422', pods[1].ip];
    return (await inside(first, 'nsenter', `--net=${pods[0].netns}`, ...ping)).code === 0;
  });
  const conflist = readFileSync(`${first.confDir}/10-flannel.conflist`, 'utf8');
  assert.equal(JSON.parse(conflist).plugins[0].type, 'flannel');
  const { stdout } = await inside(first, program, 'net', 'status');
  assert.match(stdout, /^ready +yes$/m);
  assert.match(stdout, /^datastore +the file .*agent\.db, served at http:\/\/198\.51\.1\.2:2379$/m);
  assert.equal((await inside(second, program, 'net', 'ping', pods[0].ip)).code, 0);
  for (const [i, { pod }] of pods.entries()) await removePod(servers[i]!.cri, pod);
});

test('the daemon goes on while its agent cannot, and the agent comes back', async () => {
  const [, second] = servers as [CriServer, CriServer];
  const state = async () =>
    JSON.parse((await inside(second, program, 'net', 'status', '-o', 'json')).stdout) as {
      phase: string;
      why?: string;
      overlay: { subnet: string };
    };
  const { subnet } = (await state()).overlay;
  // Somebody else has the subnet, when the node looks.
  const key = `/coreos.com/network/subnets/${subnet.replace('/', '-')}`;
  const nodePath = cluster.nodes[0]!.netns.pin;
  await run([
    ...[
      'nsenter',
      `--net=${nodePath}`,
      `${program.replace('amphipod', 'node24')}`,
      '--input-type=module',
      '-e',
    ],
    `import { openEtcdDatastore } from '@amphipod/fabric';
     const store = openEtcdDatastore({ endpoints: ['http://${address}'] });
     const value = JSON.stringify({ PublicIP: '198.51.9.9', PublicIPv6: null, BackendType: 'vxlan' });
     await store.put('${key}', value, { ttlSeconds: 60 });
     await store[Symbol.asyncDispose]();`,
  ]);
  await until('it has another subnet', async () => {
    const now = await state();
    return now.phase === 'running' && now.overlay.subnet !== subnet;
  });
  assert.match(
    readFileSync(second.program().logFile, 'utf8'),
    /network agent: renew subnet lease .*not this node's any more/,
  );
  await second.cri.version({});
  const { pod, ip } = await startPod(second);
  const { subnet: now } = (await state()).overlay;
  assert.equal(ip.split('.')[2], now.split('.')[2]);
  await removePod(second.cri, pod);
});
