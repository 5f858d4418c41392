/**
 * What starting an executable costs: one plugin's VERSION in each way of running it, in turn; docs/adr/0012 has the answers.
 * The peer is the reference's plugin. `bench/plugin-start.ts [ROUNDS]`
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PEER, PEER_DIR } from './lib/peer.ts';
import { installPlugins, withPluginServer } from './lib/plugin-server.ts';
import { printResult, printTable, summarize } from './report.ts';

const DEFAULT_ROUNDS = 20;
const root = join(import.meta.dirname, '..');
const program = join(root, 'dist/bin/amphipod');
const dir = mkdtempSync(join(tmpdir(), 'bench-start-'));
const socket = join(dir, 'cni.sock');

/** How to run it, and with which compile cache. */
type Way = [argv: string[], env?: Record<string, string>];

/** A program that does nothing, from a V8 start-up snapshot: what no use of snapshots can be faster than. */
function emptySnapshot(): string[] {
  const blob = join(dir, 'empty.blob');
  writeFileSync(
    join(dir, 'empty.cjs'),
    "require('node:v8').startupSnapshot.setDeserializeMainFunction(() => {});",
  );
  execFileSync(process.execPath, ['--snapshot-blob', blob, '--build-snapshot', join(dir, 'empty.cjs')]);
  return [process.execPath, '--snapshot-blob', blob];
}

function installed(socketPath: string, name: string): string {
  return join(installPlugins(program, join(dir, name), socketPath), 'bridge');
}

function ways(): Record<string, Way> {
  const noCache = { NODE_DISABLE_COMPILE_CACHE: '1' };
  return {
    '/bin/true': [['/bin/true']],
    [PEER]: [[join(PEER_DIR, 'bridge')]],
    'Node.js, empty program': [[process.execPath, '-e', '0']],
    'Node.js, empty start-up snapshot': [emptySnapshot()],
    'Node.js, sources, no compile cache': [
      [join(root, 'bin/node24'), join(root, 'packages/plugins/src/exec.ts'), 'bridge'],
      noCache,
    ],
    'Node.js, sources': [[join(root, 'packages/plugins/bin/bridge')]],
    'Node.js, bundle, no compile cache': [[installed('', 'without')], noCache],
    'Node.js, bundle': [[join(dir, 'without/bridge')]],
    'launcher and server': [[installed(socket, 'with')]],
  };
}

function timeOf([argv, env]: Way): number {
  const start = performance.now();
  const { status } = spawnSync(argv[0]!, argv.slice(1), {
    env: { ...process.env, ...env, CNI_COMMAND: 'VERSION' },
    stdio: 'pipe',
  });
  const took = performance.now() - start;
  if (status !== 0) throw new Error(`${argv.join(' ')}: exit code ${status}`);
  return took;
}

function measure(rounds: number): void {
  const entries = Object.entries(ways()).filter(([, [[file = '']]]) => existsSync(file));
  const samples = new Map(entries.map(([name]) => [name, [] as number[]]));
  for (let round = -1; round < rounds; round++) {
    for (const [name, way] of entries) {
      const took = timeOf(way);
      if (round >= 0) samples.get(name)!.push(took);
    }
  }
  const peer = summarize(samples.get(PEER)!);
  const rows = [...samples]
    .filter(([name]) => name !== PEER)
    .map(([name, times]) => ({ name, ours: summarize(times), peer }));
  printTable(rows);
  console.log();
  printResult('plugin-start', PEER, rows);
}

try {
  const rounds = Number(process.argv[2]) || DEFAULT_ROUNDS;
  await withPluginServer(program, socket, async () => measure(rounds));
} finally {
  rmSync(dir, { recursive: true, force: true });
}
