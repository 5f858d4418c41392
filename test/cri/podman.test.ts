import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { describe, test } from 'node:test';
import { ownPluginDir } from './support/amphipod.ts';
import { type ChainName, chainConflist, chainNames } from './support/chains.ts';
import { type Podman, preparePodman } from './support/podman.ts';
import { run } from './support/program.ts';
import { freePort } from './support/registry.ts';
import { makeScratch } from './support/scratch.ts';
import { buildBusyboxImage } from './support/test-images.ts';
import { eventually } from './support/wait.ts';

const text = 'hello from amphipod\n';
const network = { bridge: 'crit8', prefix: '10.201.8' };

async function addressOf(podman: Podman, name: string): Promise<string> {
  return await podman.run(
    'inspect',
    '--format',
    '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}',
    name,
  );
}

async function fetchText(url: string): Promise<string> {
  return await (await fetch(url, { signal: AbortSignal.timeout(2000) })).text();
}

async function hostState(dir: string) {
  const network = `${dir}/ipam/crit8`;
  return {
    links: (await run(['ip', '-o', 'link', 'show', 'type', 'veth'])).trim(),
    reservations: existsSync(network) ? readdirSync(network).filter((name) => /^\d/.test(name)) : [],
    results: existsSync('/var/lib/cni/results') ? readdirSync('/var/lib/cni/results') : [],
    rules: (await run(['nft', 'list', 'ruleset']))
      .split('\n')
      .filter((line) => /10\.201\.8\.(?!0\/)\d/.test(line)),
  };
}

async function withPodman(
  chain: ChainName,
  work: (podman: Podman, dir: string) => Promise<void>,
): Promise<void> {
  using scratch = makeScratch('podman');
  const { dir } = scratch;
  mkdirSync(`${dir}/podman`);
  const image = buildBusyboxImage(`${dir}/image`);
  await using podman = await preparePodman({
    dir: `${dir}/podman`,
    cniBinDir: ownPluginDir,
    network: network.bridge,
    conflist: chainConflist(chain, network, `${dir}/ipam`),
  });
  await run(['tar', '-C', image.dir, '-cf', `${dir}/image.tar`, '.']);
  await podman.run('load', '--quiet', '--input', `${dir}/image.tar`);
  await work(podman, dir);
}

describe('podman with our plugin executables', () => {
  for (const chain of chainNames) {
    test(`${chain}: containers are reached by address and host port; removal gives all back`, async () => {
      await withPodman(chain, async (podman, dir) => {
        const image = await podman.run('images', '--quiet');
        const port = await freePort();
        const httpd = ['httpd', '-f', '-p', '8080', '-h', '/var/www'];
        await podman.run('run', '-d', '--name', 'web', '-p', `${port}:8080`, image, ...httpd);
        await podman.run('run', '-d', '--name', 'other', image, 'sleep', '1000');
        const ip = await addressOf(podman, 'web');
        for (const url of [`http://${ip}:8080/`, `http://127.0.0.1:${port}/`]) {
          assert.equal(await eventually(url, () => fetchText(url)), text);
        }
        assert.equal(await podman.run('exec', 'other', 'wget', '-qO-', `http://${ip}:8080/`), text.trim());
        if (chain.includes('tuning')) {
          assert.equal(await podman.run('exec', 'web', 'cat', '/sys/class/net/eth0/mtu'), '1400');
        }
        await podman.run('rm', '--force', '--time', '0', 'web', 'other');
        await assert.rejects(fetchText(`http://127.0.0.1:${port}/`), 'the host port is closed');
        assert.deepEqual(await hostState(dir), { links: '', reservations: [], results: [], rules: [] });
      });
    });
  }
});
