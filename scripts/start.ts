// npm start: runs a real pod with a real network from nothing, shows that it answers, and takes everything away again.
import { mkdirSync, mkdtempSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { UndoStack } from '@amphipod/linux';
import type { CriClient } from '../packages/runtime/src/cli/client.ts';
import { imageSpec } from '../packages/runtime/src/cli/image-spec.ts';
import { formatBytes, shortId } from '../packages/runtime/src/cli/output.ts';
import { runPod } from '../packages/runtime/src/cli/run-pod.ts';
import { checkHttp } from './demo/check-http.ts';
import { DemoRuntime } from './demo/demo-runtime.ts';
import { machineAddress, type NetworkPlan, networkConfig, planNetwork } from './demo/host-network.ts';
import { rememberHost, removeDirectory } from './demo/host-state.ts';
import { createSteps, type RunStep } from './demo/steps.ts';
import { type Addresses, nextSteps } from './demo/texts.ts';
import { webImageName, writeWebImage } from './demo/web-image.ts';

interface Demo {
  step: RunStep;
  /** Everything that the demonstration writes is in here. */
  directory: string;
  network: NetworkPlan;
  undo: UndoStack;
}

async function main(): Promise<void> {
  const { values: options } = parseArgs({
    options: { once: { type: 'boolean', default: false }, port: { type: 'string', default: '8080' } },
  });
  if (process.getuid?.() !== 0)
    throw new Error('start pod: namespaces and a bridge need root: sudo npm start');
  const interrupt = interruption();
  const failures: string[] = [];
  process.stdout.write('\n  Amphipod: one pod, end to end\n\n');
  using network = await planNetwork(Number(options.port));
  // Leaving this block, however it comes to that, takes everything away again.
  try {
    await using undo = new UndoStack((what, error) => failures.push(`${what}: ${(error as Error).message}`));
    const directory = mkdtempSync(join(temporaryParent(), 'amphipod-'));
    undo.defer('remove directory', () => removeDirectory(directory));
    const demo: Demo = { step: createSteps(process.stdout, interrupt), directory, network, undo };
    const runtime = await startRuntime(demo);
    const addresses = await startPod(demo, runtime.client);
    if (!options.once) {
      process.stdout.write(nextSteps(runtime.socket, addresses));
      await Promise.race([aborted(interrupt), runtime.diedByItself()]);
      process.stdout.write('\n');
    }
  } catch (error) {
    if (!interrupt.aborted) throw error;
    process.exitCode = 130;
  } finally {
    for (const failure of failures) process.stderr.write(`  clean up: ${failure}\n`);
    if (failures.length > 0) process.exitCode = 1;
    else process.stdout.write('  Everything is put back.\n\n');
  }
}

/** Image, network configuration, daemon. */
async function startRuntime({ step, directory, network, undo }: Demo): Promise<DemoRuntime> {
  const archive = join(directory, 'hello.tar');
  await step(
    'image built',
    () => writeWebImage(join(directory, 'layout'), archive),
    (size) => `${webImageName}, busybox httpd, ${formatBytes(size)}`,
  );
  // An empty file, so that the settings of an installed Amphipod do not reach in.
  writeFileSync(join(directory, 'config.toml'), '');
  mkdirSync(join(directory, 'net.d'));
  writeFileSync(
    join(directory, 'net.d/10-demo.conflist'),
    JSON.stringify(networkConfig(network, join(directory, 'ipam')), undefined, 2),
  );
  const host = rememberHost();
  undo.defer('restore the network', () => host.restore(network.bridge));
  const runtime = new DemoRuntime(directory);
  undo.defer('stop daemon', () => createSteps(process.stdout)('daemon stopped', () => runtime.stop()));
  await step(
    'daemon started',
    () => runtime.start(),
    (version) => version,
  );
  undo.defer('remove pods', () => createSteps(process.stdout)('pod removed', () => runtime.removePods()));
  await step(
    'image loaded',
    () =>
      runtime.client.images.pullImage(
        { image: imageSpec(`oci-archive:${archive}`), auth: undefined, sandboxConfig: undefined },
        { timeoutMs: 60_000 },
      ),
    ({ imageRef }) => shortId(imageRef),
  );
  return runtime;
}

/** Pod, its address, and the answers to requests by both ways. */
async function startPod({ step, directory, network }: Demo, client: CriClient): Promise<Addresses> {
  const { podSandboxId } = await step(
    'pod started',
    () =>
      runPod(client, {
        name: 'hello',
        image: webImageName,
        args: [],
        envs: [],
        labels: {},
        mounts: [],
        ports: [{ protocol: 0, containerPort: 80, hostPort: network.hostPort, hostIp: '' }],
        logRoot: join(directory, 'logs'),
      }),
    (pod) => shortId(pod.podSandboxId),
  );
  const { status } = await client.runtime.podSandboxStatus({ podSandboxId, verbose: false });
  const remote = machineAddress(network.bridge);
  const addresses = {
    pod: `http://${status?.network?.ip}/`,
    local: `http://127.0.0.1:${network.hostPort}/`,
    remote: remote === undefined ? undefined : `http://${remote}:${network.hostPort}/`,
  };
  for (const [way, url] of Object.entries(addresses)) {
    if (url === undefined) continue;
    const titles: Record<string, string> = {
      pod: 'pod answers',
      local: 'host port answers',
      remote: 'machine answers',
    };
    await step(
      titles[way] ?? way,
      () => expectOk(url),
      (code) => `${url}  ${code}`,
    );
  }
  return addresses;
}

async function expectOk(url: string): Promise<number> {
  const code = await checkHttp(url);
  if (code !== 200) throw new Error(`get ${url}: HTTP status ${code}`);
  return code;
}

/** Aborted by Ctrl-C and the other ways to end us; a second one is not to disturb the cleaning up. */
function interruption(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => controller.abort());
  return controller.signal;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
}

// The writable layer of a container cannot be an overlay on an overlay, which /tmp of a container often is.
function temporaryParent(): string {
  const overlay = 0x794c7630;
  return [tmpdir(), '/run', '/dev/shm'].find((path) => statfsSync(path).type !== overlay) ?? tmpdir();
}

try {
  await main();
} catch (error) {
  process.stderr.write(`\n${(error as Error).message}\n`);
  process.exitCode = 1;
}
