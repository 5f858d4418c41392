import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { describe, test } from 'node:test';
import { type Fixture, subjects, useServer } from './support/fixture.ts';
import {
  execText,
  kubeletNamespaces,
  NamespaceMode,
  type Pod,
  podIp,
  removePod,
  runPod,
  startContainer,
} from './support/pods.ts';
import { run } from './support/program.ts';
import { freePort } from './support/registry.ts';
import { eventually } from './support/wait.ts';

const page = 'hello from amphipod\n';
const webServer = ['httpd', '-f', '-p', '8080', '-h', '/var/www'];
/** An address of the node that is neither loopback nor the bridge's. */
const nodeAddress = '192.0.2.10';

for (const subject of subjects) {
  describe(`pod network with ${subject}`, () => {
    const fixture = useServer(subject);
    const web = async (given: Parameters<typeof runPod>[1] = {}) => {
      const pod = await runPod(fixture.cri, given);
      await startContainer(fixture.cri, pod, { image: fixture.image, command: webServer });
      return { pod, ip: await podIp(fixture.cri, pod) };
    };

    test('the host and other pods reach a pod by its address', async () => {
      const { pod, ip } = await web();
      const other = await runPod(fixture.cri);
      const client = await startContainer(fixture.cri, other, { image: fixture.image });
      assert.equal(await get(ip, 8080), page);
      assert.equal(await execText(fixture.cri, client, ['wget', '-qO-', `http://${ip}:8080/`]), page);
      assert.notEqual(await podIp(fixture.cri, other), ip);
      await removePod(fixture.cri, pod);
      await removePod(fixture.cri, other);
    });

    test('a pod has loopback and eth0, up', async () => {
      const pod = await runPod(fixture.cri);
      const id = await startContainer(fixture.cri, pod, { image: fixture.image });
      const links = await execText(fixture.cri, id, ['ip', '-o', 'link']);
      assert.match(links, /^\d+: lo: <LOOPBACK,UP,LOWER_UP>/m);
      assert.match(links, /^\d+: eth0@if\d+: <BROADCAST,MULTICAST,UP,LOWER_UP/m);
      const ip = await podIp(fixture.cri, pod);
      assert.match(
        await execText(fixture.cri, id, ['ip', '-o', 'addr', 'show', 'eth0']),
        new RegExp(`inet ${ip}/24 `),
      );
      await removePod(fixture.cri, pod);
    });

    test('a host port answers on loopback, on node addresses, from pods and from the pod itself', async () => {
      await run(['ip', 'address', 'replace', `${nodeAddress}/32`, 'dev', 'lo']);
      const hostPort = await freePort();
      const { pod, ip } = await web({ portMappings: [{ containerPort: 8080, hostPort }] });
      const other = await runPod(fixture.cri);
      const client = await startContainer(fixture.cri, other, { image: fixture.image });
      const itself = await startContainer(fixture.cri, pod, {
        image: fixture.image,
        metadata: { name: 'client' },
      });
      const gateway = ip.replace(/\d+$/, '1');
      for (const address of ['127.0.0.1', nodeAddress, gateway])
        assert.equal(await get(address, hostPort), page, address);
      const request = ['wget', '-qO-', `http://${nodeAddress}:${hostPort}/`];
      assert.equal(await execText(fixture.cri, client, request), page, 'from another pod');
      assert.equal(await execText(fixture.cri, itself, request), page, 'from the pod itself');
      await removePod(fixture.cri, other);
      await fixture.cri.stopPodSandbox({ podSandboxId: pod.id });
      await assert.rejects(get('127.0.0.1', hostPort), 'closed with the pod');
      await removePod(fixture.cri, pod);
    });

    test('a host port with a host address answers only there', async () => {
      await run(['ip', 'address', 'replace', `${nodeAddress}/32`, 'dev', 'lo']);
      const hostPort = await freePort();
      const { pod } = await web({ portMappings: [{ containerPort: 8080, hostPort, hostIp: nodeAddress }] });
      assert.equal(await get(nodeAddress, hostPort), page);
      await assert.rejects(get('127.0.0.1', hostPort));
      await removePod(fixture.cri, pod);
    });

    test('a mapping without a host port opens nothing and is no error', async () => {
      const { pod, ip } = await web({ portMappings: [{ containerPort: 8080, hostPort: 0 }] });
      assert.equal(await get(ip, 8080), page);
      await removePod(fixture.cri, pod);
    });

    test('stopping gives the address back', async () => {
      const { pod, ip } = await web();
      const reservations = () => reservedAddresses(fixture);
      assert.ok(reservations().includes(ip), `${ip} is not among ${reservations()}`);
      await fixture.cri.stopPodSandbox({ podSandboxId: pod.id });
      assert.ok(!reservations().includes(ip));
      await fixture.cri.stopPodSandbox({ podSandboxId: pod.id });
      await removePod(fixture.cri, pod);
    });

    test('host network: the node’s links, ports, hostname, and no pod address', async () => {
      const listener = createServer((_, response) => response.end('node\n')).listen(0, '127.0.0.1');
      await once(listener, 'listening');
      const { port } = listener.address() as { port: number };
      const { pod, id } = await hostNetworkPod(fixture);
      const links = (await execText(fixture.cri, id, ['ls', '/sys/class/net'])).split(/\s+/).filter(Boolean);
      assert.ok(links.includes('lo'));
      assert.equal(
        await execText(fixture.cri, id, ['readlink', '/proc/self/ns/net']),
        `${readlinkSync('/proc/self/ns/net')}\n`,
      );
      assert.equal(await execText(fixture.cri, id, ['wget', '-qO-', `http://127.0.0.1:${port}/`]), 'node\n');
      assert.equal(
        await execText(fixture.cri, id, ['hostname']),
        readFileSync('/proc/sys/kernel/hostname', 'utf8'),
      );
      const { status } = await fixture.cri.podSandboxStatus({ podSandboxId: pod.id });
      assert.equal(status?.network?.ip ?? '', '');
      assert.equal(status?.linux?.namespaces?.options?.network, NamespaceMode.NODE);
      listener.close();
      await removePod(fixture.cri, pod);
    });

    test('sysctls of the network and IPC namespaces', async () => {
      const sysctls = {
        'net.ipv4.ip_unprivileged_port_start': '1',
        'kernel.shm_rmid_forced': '1',
        'net.ipv4.tcp_syncookies': '0',
      };
      const pod = await runPod(fixture.cri, { linux: { sysctls } });
      const id = await startContainer(fixture.cri, pod, { image: fixture.image });
      for (const [name, value] of Object.entries(sysctls)) {
        assert.equal(await execText(fixture.cri, id, ['sysctl', '-n', name]), `${value}\n`, name);
      }
      await removePod(fixture.cri, pod);
    });

    // containerd 1.6 cannot: it asks the configuration of the moment, not the one the pod was made with.
    const skip = subject === 'containerd' && 'containerd 1.6 needs the configuration to be there';
    test('a pod whose network configuration vanished still gives everything back', { skip }, async () => {
      const { pod, ip } = await web();
      const file = `${fixture.server.confDir}/10-test.conflist`;
      const saved = readFileSync(file);
      rmSync(file);
      await eventually('NetworkReady to become false', async () => {
        const { status } = await fixture.cri.status();
        return status?.conditions.some(({ type, status: ok }) => type === 'NetworkReady' && !ok);
      });
      await assert.rejects(runPod(fixture.cri), { code: 14 });
      await removePod(fixture.cri, pod);
      assert.ok(!reservedAddresses(fixture).includes(ip));
      writeFileSync(file, saved);
      await eventually('the network to be ready again', async () => {
        await removePod(fixture.cri, await runPod(fixture.cri));
        return true;
      });
    });
  });
}

async function hostNetworkPod({ cri, image }: Fixture): Promise<{ pod: Pod; id: string }> {
  const securityContext = { namespaceOptions: kubeletNamespaces({ network: NamespaceMode.NODE }) };
  const pod = await runPod(cri, { hostname: '', linux: { securityContext } });
  const id = await startContainer(cri, pod, { image, linux: { securityContext } });
  return { pod, id };
}

/** The page of a web server that may still be starting. */
async function get(address: string, port: number): Promise<string> {
  return eventually(
    `http://${address}:${port}/`,
    async () => (await fetch(`http://${address}:${port}/`, { signal: AbortSignal.timeout(2000) })).text(),
    { timeoutMs: 1500 },
  );
}

function reservedAddresses({ server }: Fixture): string[] {
  const dir = `${server.dir}/ipam`;
  if (!existsSync(dir)) return [];
  return readdirSync(dir).flatMap((network) => readdirSync(`${dir}/${network}`));
}
