/**
 * ADD and DEL of host-local with few and with many reservations in a /16: ours in process, ours executed, and the
 * reference's, one after another in each round. `bench/host-local.ts [ROUNDS]`
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInvoker, type Invoker, type NetConf } from '@amphipod/cni';
import { formatIp, parseIp } from '@amphipod/netlink';
import { builtinPlugins, pluginBinDir } from '@amphipod/plugins';
import { PEER, PEER_DIR } from './lib/peer.ts';
import { printResult, printTable, type Row, summarize } from './report.ts';

const DEFAULT_ROUNDS = 12;
const SIZES = [100, 10_000, 60_000];
/** Not measured: what a daemon has behind it that has run for a few minutes. */
const WARM_UP_ROUNDS = 60;
const FIRST_IP = parseIp('10.77.0.2');

type SubjectName = 'in-process' | 'exec' | 'peer';

interface Subject {
  name: SubjectName;
  invoker: Invoker;
}

const inProcess = builtinPlugins();
const subjects: Subject[] = [
  {
    name: 'in-process',
    invoker: createInvoker({ pluginDirs: [pluginBinDir], inProcess, ownGroup: false }),
  },
  { name: 'exec', invoker: createInvoker({ pluginDirs: [pluginBinDir], ownGroup: false }) },
  { name: 'peer', invoker: createInvoker({ pluginDirs: [PEER_DIR], ownGroup: false }) },
];

/** A directory with that many addresses in use, as the reference writes it. */
function fill(dataDir: string, network: string, count: number): void {
  const dir = join(dataDir, network);
  mkdirSync(dir, { recursive: true });
  let last = FIRST_IP;
  for (let i = 0; i < count; i++) {
    last = { family: 4, value: FIRST_IP.value + BigInt(i) };
    writeFileSync(join(dir, formatIp(last)), `container-${i}\r\neth0`, { mode: 0o600 });
  }
  writeFileSync(join(dir, 'last_reserved_ip.0'), formatIp(last));
}

async function measure(invoker: Invoker, config: NetConf): Promise<{ add: number; del: number }> {
  const request = {
    containerID: `bench-${process.hrtime.bigint()}`,
    netns: '/dummy',
    ifName: 'eth0',
    args: '',
    config,
    prevResult: undefined,
    validAttachments: undefined,
  };
  const { signal } = new AbortController();
  const start = performance.now();
  await invoker.call('host-local', 'ADD', request, signal);
  const added = performance.now();
  await invoker.call('host-local', 'DEL', request, signal);
  return { add: added - start, del: performance.now() - added };
}

async function measureSize(size: number, rounds: number, dataDir: string): Promise<Row[]> {
  const samples: Record<SubjectName | 'first', { add: number[]; del: number[] }> = {
    'in-process': { add: [], del: [] },
    exec: { add: [], del: [] },
    peer: { add: [], del: [] },
    first: { add: [], del: [] },
  };
  const configs = new Map<SubjectName, NetConf>();
  for (const { name, invoker } of subjects) {
    // A directory for each: what one of them does costs the next one nothing.
    const network = `${name}-${size}`;
    fill(dataDir, network, size);
    const config: NetConf = {
      cniVersion: '1.0.0',
      name: network,
      type: 'host-local',
      ipam: { type: 'host-local', subnet: '10.77.0.0/16', dataDir },
    };
    configs.set(name, config);
    const first = await measure(invoker, config);
    if (name === 'in-process') samples.first.add.push(first.add);
    for (let i = 0; name === 'in-process' && i < WARM_UP_ROUNDS; i++) await measure(invoker, config);
  }
  for (let round = 0; round < rounds; round++) {
    for (const { name, invoker } of subjects) {
      const { add, del } = await measure(invoker, configs.get(name)!);
      samples[name].add.push(add);
      samples[name].del.push(del);
    }
  }
  const rows: Row[] = [];
  for (const verb of ['add', 'del'] as const) {
    const peer = summarize(samples.peer[verb]);
    for (const name of ['in-process', 'exec'] as const) {
      rows.push({ name: `${verb} ${size} ${name}`, ours: summarize(samples[name][verb]), peer });
    }
  }
  rows.push({
    name: `add ${size} in-process, first of all`,
    ours: summarize(samples.first.add),
    peer: summarize(samples.peer.add),
  });
  return rows;
}

const rounds = Number(process.argv[2]) || DEFAULT_ROUNDS;
const dir = mkdtempSync(join(tmpdir(), 'bench-host-local-'));
try {
  const rows: Row[] = [];
  for (const size of SIZES) rows.push(...(await measureSize(size, rounds, dir)));
  console.log(`${PEER}; ${rounds} rounds; "first of all": nothing is known of the directory yet\n`);
  printTable(rows);
  console.log();
  printResult('host-local', PEER, rows);
} finally {
  rmSync(dir, { recursive: true, force: true });
}
