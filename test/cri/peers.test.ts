import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ownPluginDir, referencePluginDir } from './support/amphipod.ts';
import { type ChainName, chainConflist, chainNames } from './support/chains.ts';
import { type SubjectName, useServer } from './support/fixture.ts';
import { assertLeft, leftovers } from './support/leftovers.ts';
import { testNetwork } from './support/network.ts';
import { execText, podIp, removePod, runPod, startContainer } from './support/pods.ts';
import { freePort } from './support/registry.ts';
import { eventually } from './support/wait.ts';

interface Pair {
  subject: SubjectName;
  plugins: string;
  cniBinDirs: string[];
  chain: ChainName;
}

// Each directory is the only one that the server knows, so nothing else can have done the work.
const pairs: Pair[] = chainNames.flatMap((chain): Pair[] => [
  { subject: 'containerd', plugins: 'our plugin executables', cniBinDirs: [ownPluginDir], chain },
  { subject: 'amphipod', plugins: 'the reference plugins', cniBinDirs: [referencePluginDir], chain },
  { subject: 'amphipod', plugins: 'our plugins in process', cniBinDirs: [ownPluginDir], chain },
]);

for (const { subject, plugins, cniBinDirs, chain } of pairs) {
  describe(`${subject} with ${plugins}: ${chain}`, () => {
    const fixture = useServer(subject, (dir) => ({
      cniBinDirs,
      cniConfigs: { '10-chain.conflist': chainConflist(chain, testNetwork(3), `${dir}/ipam`) },
    }));

    test('pods reach each other and are reached, by address and host port; removal gives all back', async () => {
      const { cri, image, server } = fixture;
      const nothing = await leftovers(server);
      const hostPort = await freePort();
      const web = await runPod(cri, { portMappings: [{ containerPort: 8080, hostPort }] });
      await startContainer(cri, web, { image, command: ['httpd', '-f', '-p', '8080', '-h', '/var/www'] });
      const ip = await podIp(cri, web);
      const other = await runPod(cri);
      const client = await startContainer(cri, other, { image });
      const urls = [
        `http://${ip}:8080/`,
        `http://127.0.0.1:${hostPort}/`,
        `http://${ip.replace(/\d+$/, '1')}:${hostPort}/`,
      ];
      for (const url of urls) {
        const text = await eventually(url, async () =>
          (await fetch(url, { signal: AbortSignal.timeout(2000) })).text(),
        );
        assert.equal(text, 'hello from amphipod\n', url);
      }
      assert.equal(await execText(cri, client, ['wget', '-qO-', urls[0]!]), 'hello from amphipod\n');
      await cri.stopPodSandbox({ podSandboxId: web.id });
      await assert.rejects(fetch(urls[1]!, { signal: AbortSignal.timeout(2000) }), 'the host port is closed');
      await removePod(cri, web);
      await removePod(cri, other);
      await assertLeft(server, nothing);
    });

    test('ten pods at once get ten addresses', async () => {
      const { cri } = fixture;
      const pods = await Promise.all(Array.from({ length: 10 }, () => runPod(cri)));
      const ips = await Promise.all(pods.map((pod) => podIp(cri, pod)));
      assert.equal(new Set(ips).size, 10, ips.join(' '));
      await Promise.all(pods.map((pod) => removePod(cri, pod)));
    });
  });
}
