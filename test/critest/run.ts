/**
 * critest against `amphipod up`, with what prepare.ts put into DIR: `run.ts DIR [--runs N] [--parallel N] [flags of critest]`.
 * Exits with 1 when a spec fails.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { ownPluginDir, startAmphipod } from '../cri/support/amphipod.ts';
import { bridgeConflist, testNetwork } from '../cri/support/network.ts';
import { startRegistry } from '../cri/support/registry.ts';
import { criToolsVersion } from './build.ts';
import type { CritestImage } from './images.ts';
import { printReport, readReport } from './report.ts';

/** Registries of the images' names; all of them are mirrored by the one on loopback. */
const registries = ['registry.k8s.io', 'gcr.io', 'k8s.gcr.io'];

interface Options {
  runs: number;
  parallel: number;
  /** For critest, as they are. */
  flags: string[];
}

/** @throws Error that names the option */
function parseOptions(args: readonly string[]): Options {
  const flags = [...args];
  const take = (name: string): number => {
    const at = flags.indexOf(name);
    if (at < 0) return 1;
    const [, text = ''] = flags.splice(at, 2);
    if (!/^[1-9]\d*$/.test(text)) throw new Error(`${name} ${JSON.stringify(text)}: must be 1 or more`);
    return Number(text);
  };
  return { runs: take('--runs'), parallel: take('--parallel'), flags };
}

async function main(dir: string, { runs, parallel, flags }: Options): Promise<number> {
  const { bin, images } = JSON.parse(readFileSync(`${dir}/prepared.json`, 'utf8')) as {
    bin: string;
    images: CritestImage[];
  };
  await using stack = new AsyncDisposableStack();
  const registry = stack.use(await startRegistry(`${dir}/registry`));
  for (const { repository, tags, dir: layout, manifestDigest } of images) {
    const image = { dir: layout, name: `${repository}:${tags[0]}`, id: '', manifestDigest };
    for (const tag of tags) await registry.push(image, `${repository}:${tag}`);
  }
  const mirrors = `${dir}/certs.d`;
  for (const name of registries) {
    mkdirSync(`${mirrors}/${name}`, { recursive: true });
    writeFileSync(
      `${mirrors}/${name}/hosts.toml`,
      `server = "https://${name}"\n[host."http://${registry.host}"]\ncapabilities = ["pull", "resolve"]\n`,
    );
  }
  mkdirSync(`${dir}/server`);
  const server = stack.use(
    await startAmphipod({
      dir: `${dir}/server`,
      cniBinDirs: [ownPluginDir],
      cniConfigs: { '10-critest.conflist': bridgeConflist(testNetwork(2), `${dir}/server/ipam`) },
      flags: ['--registry-config-dir', mirrors],
    }),
  );
  writeFileSync(`${dir}/crictl.yaml`, '');
  let failures = 0;
  for (let run = 1; run <= runs; run++) {
    const report = `${dir}/report-${run}.json`;
    rmSync(report, { force: true });
    const { status } = spawnSync(
      `${dir}/critest`,
      [
        ...['-runtime-endpoint', `unix://${server.socket}`, '-config', `${dir}/crictl.yaml`],
        ...(parallel > 1 ? ['-parallel', String(parallel)] : []),
        ...['-ginkgo.no-color', '-ginkgo.succinct', `-ginkgo.json-report=${report}`, ...flags],
      ],
      {
        stdio: ['ignore', 'inherit', 'inherit'],
        env: { ...process.env, PATH: `${bin}:${process.env.PATH}` },
      },
    );
    const specs = readReport(report);
    if (specs.every(({ state }) => state === 'skipped'))
      throw new Error(`critest ${flags.join(' ')}: no spec was run`);
    printReport(
      specs,
      `critest ${criToolsVersion}, run ${run} of ${runs}${parallel > 1 ? `, ${parallel} in parallel` : ''}`,
    );
    if (status !== 0 || specs.some(({ state }) => state === 'failed')) failures++;
  }
  return failures === 0 ? 0 : 1;
}

const [dir = '', ...args] = process.argv.slice(2);
process.exitCode = await main(dir, parseOptions(args));
