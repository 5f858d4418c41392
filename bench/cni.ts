/**
 * ADD and DEL of networks: ours in process, ours executed with and without a plugin server, and the reference plugins
 * executed, one after another in each round, in namespaces of the run's own. `bench/cni.ts [ROUNDS]`
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type Attachment,
  type Cni,
  createCni,
  type NetworkConfigList,
  parseNetworkConfigList,
} from '@amphipod/cni';
import { createPinnedNamespaces, unpinNamespace } from '@amphipod/linux';
import { builtinPlugins, builtinPluginTypes, pluginBinDir } from '@amphipod/plugins';
import { PEER, PEER_DIR } from './lib/peer.ts';
import { installPlugins, withPluginServer } from './lib/plugin-server.ts';
import { printResult, printTable, type Row, summarize } from './report.ts';

const DEFAULT_ROUNDS = 40;
/** Not measured; what runs in one process gets as many as a daemon has behind it that has run for a few minutes. */
const WARM_UP_ROUNDS = { 'in-process': 60, 'exec with server': 60, 'exec without server': 1, peer: 3 };
/** The kernel goes on tidying up after a call; the next measurement shall not feel it. */
const SETTLE_MS = 40;
/** Taking namespaces down holds the kernel's lock for all links, so it is done between rounds. */
const ROUND_SETTLE_MS = 150;
const WARM_UP_SETTLE_MS = 5;

interface Subject {
  name: keyof typeof WARM_UP_ROUNDS;
  cni: Cni;
  /** Distinguishes bridges, networks and host ports. */
  number: number;
}

interface Chain {
  ipMasq: boolean;
  /** Behind bridge. */
  further: { type: string; [key: string]: unknown }[];
}

const portmap = { type: 'portmap', capabilities: { portMappings: true } };
const chains: Record<string, Chain> = {
  'bridge+host-local': { ipMasq: false, further: [] },
  'bridge+host-local+ipMasq': { ipMasq: true, further: [] },
  'bridge+host-local+ipMasq+portmap': { ipMasq: true, further: [portmap] },
  'bridge+host-local+ipMasq+portmap+bandwidth+firewall+tuning': {
    ipMasq: true,
    further: [
      portmap,
      {
        type: 'bandwidth',
        ingressRate: 8_000_000,
        ingressBurst: 800_000,
        egressRate: 4_000_000,
        egressBurst: 400_000,
      },
      { type: 'firewall' },
      { type: 'tuning', mtu: 1400, sysctl: { 'net.ipv4.conf.IFNAME.rp_filter': '2' } },
    ],
  },
};

function listFor(chain: string, subject: Subject, dataDir: string): NetworkConfigList {
  const { ipMasq, further } = chains[chain]!;
  const id = Object.keys(chains).indexOf(chain) * 10 + subject.number;
  const plugins = [
    {
      type: 'bridge',
      bridge: `bench${id}`,
      isGateway: true,
      ipMasq,
      hairpinMode: true,
      ipam: { type: 'host-local', subnet: `10.77.${id}.0/24`, routes: [{ dst: '0.0.0.0/0' }], dataDir },
    },
    ...further,
  ];
  return parseNetworkConfigList(JSON.stringify({ cniVersion: '1.0.0', name: `bench${id}`, plugins }));
}

interface Samples {
  add: number[];
  del: number[];
}

async function measure(
  subject: Subject,
  list: NetworkConfigList,
  dir: string,
  settleMs: number,
): Promise<{ add: number; del: number }> {
  const attachment: Attachment = {
    containerID: `bench-${process.pid}-${process.hrtime.bigint()}`,
    netns: join(dir, 'netns', `${subject.name}-${process.hrtime.bigint()}`),
    ifName: 'eth0',
    capabilityArgs: { portMappings: [{ hostPort: 18080, containerPort: 80, protocol: 'tcp' }] },
  };
  createPinnedNamespaces({ net: attachment.netns });
  await sleep(settleMs);
  const start = performance.now();
  await subject.cni.addList(list, attachment);
  const added = performance.now();
  await sleep(settleMs);
  const before = performance.now();
  await subject.cni.delList(list, attachment);
  const deleted = performance.now();
  return { add: added - start, del: deleted - before };
}

async function removeNamespaces(dir: string): Promise<void> {
  for (const name of readdirSync(join(dir, 'netns'))) unpinNamespace(join(dir, 'netns', name));
  await sleep(ROUND_SETTLE_MS);
}

async function main(rounds: number): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'bench-cni-'));
  try {
    execFileSync('ip', ['link', 'set', 'lo', 'up']);
    const socket = join(dir, 'cni.sock');
    const rows = await withPluginServer(program, socket, () => measureChains(rounds, dir, socket));
    const missing = Object.keys(chains).filter((chain) => !isComplete(chain));
    for (const chain of missing) console.log(`not measured, as a plugin of it is missing: ${chain}`);
    console.log(
      `${PEER}; ${rounds} rounds; starting /bin/true takes ${spawnCost().toFixed(2)} ms (p50), which every exec includes\n`,
    );
    printTable(rows);
    console.log();
    printResult('cni', PEER, rows);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** True when all plugins of the chain are there. */
function isComplete(chain: string): boolean {
  return chains[chain]!.further.every(({ type }) => builtinPluginTypes.includes(type));
}

/** The command line; scripts/bench.sh measures what users run. */
const program = join(
  import.meta.dirname,
  process.env.AMPHIPOD_TEST_BUILT ? '../dist/bin/amphipod' : '../bin/amphipod',
);

async function measureChains(rounds: number, dir: string, socket: string): Promise<Row[]> {
  const cacheDir = join(dir, 'cache');
  const executed = (binDir: string) => createCni({ pluginDirs: [binDir], cacheDir });
  const subjects: Subject[] = [
    {
      name: 'in-process',
      number: 1,
      cni: createCni({ pluginDirs: [pluginBinDir], cacheDir, inProcess: builtinPlugins() }),
    },
    {
      name: 'exec with server',
      number: 2,
      cni: executed(installPlugins(program, join(dir, 'with'), socket)),
    },
    { name: 'peer', number: 3, cni: executed(PEER_DIR) },
    {
      name: 'exec without server',
      number: 4,
      cni: executed(installPlugins(program, join(dir, 'without'), '')),
    },
  ];
  const dataDir = join(dir, 'ipam');
  mkdirSync(dataDir);
  mkdirSync(join(dir, 'netns'));
  const rows: Row[] = [];
  for (const chain of Object.keys(chains).filter(isComplete)) {
    const samples = new Map<Subject['name'], Samples>(
      subjects.map(({ name }) => [name, { add: [], del: [] }]),
    );
    for (const subject of subjects) {
      const list = listFor(chain, subject, dataDir);
      for (let i = 0; i < WARM_UP_ROUNDS[subject.name]; i++)
        await measure(subject, list, dir, WARM_UP_SETTLE_MS);
      await removeNamespaces(dir);
    }
    for (let round = 0; round < rounds; round++) {
      for (const subject of subjects) {
        const { add, del } = await measure(subject, listFor(chain, subject, dataDir), dir, SETTLE_MS);
        samples.get(subject.name)!.add.push(add);
        samples.get(subject.name)!.del.push(del);
      }
      await removeNamespaces(dir);
    }
    for (const verb of ['add', 'del'] as const) {
      const peer = summarize(samples.get('peer')![verb]);
      for (const name of ['in-process', 'exec with server', 'exec without server'] as const) {
        rows.push({ name: `${verb} ${chain} ${name}`, ours: summarize(samples.get(name)![verb]), peer });
      }
    }
  }
  return rows;
}

function spawnCost(): number {
  const samples = Array.from({ length: 20 }, () => {
    const start = performance.now();
    spawnSync('/bin/true');
    return performance.now() - start;
  });
  return summarize(samples).p50;
}

const [argument, isInside] = process.argv.slice(2);
if (isInside === 'inside') await main(Number(argument));
else {
  // A network namespace for bridges and rules, a mount namespace for the pinned ones.
  const { status } = spawnSync(
    'unshare',
    [
      '--net',
      '--mount',
      process.execPath,
      ...process.execArgv,
      import.meta.filename,
      String(Number(argument) || DEFAULT_ROUNDS),
      'inside',
    ],
    { stdio: 'inherit' },
  );
  process.exitCode = status ?? 1;
}
