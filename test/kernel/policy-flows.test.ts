import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { openNftIn } from '@amphipod/netlink';
import { readDocuments } from '../../packages/fabric/src/policy/documents/read-documents.ts';
import { resourceKey } from '../../packages/fabric/src/policy/documents/resources.ts';
import { type RunningPolicy, startPolicy } from '../../packages/fabric/src/policy/kernel/start-policy.ts';
import { PolicyWorld } from '../../packages/fabric/src/policy/model/policy-world.ts';
import type { TestNetns } from './netlink-namespaces.ts';
import { createPodNetwork } from './policy-pods.ts';

const PORT = 9000;
const QUIET_MS = 600;
const TICK_MS = 30;

/** Both ends send all the time, so that each of them could begin the flow anew. */
const scripts = {
  tcp: {
    server: `require('node:net').createServer((socket) => {
      socket.on('error', () => {});
      socket.on('data', () => console.log('tick'));
      setInterval(() => socket.write('x'), ${TICK_MS});
    }).listen(${PORT}, '::', () => console.log('ready'));`,
    client: (ip: string) => `const socket = require('node:net').connect(${PORT}, '${ip}', () => {
      console.log('ready');
      setInterval(() => socket.write('x'), ${TICK_MS});
    });
    socket.on('data', () => console.log('tick'));`,
  },
  udp: {
    server: `const socket = require('node:dgram').createSocket('udp6');
    let peer;
    socket.on('message', (message, from) => { peer = from; console.log('tick'); });
    setInterval(() => { if (peer) socket.send('x', peer.port, peer.address); }, ${TICK_MS});
    socket.bind(${PORT}, '::', () => console.log('ready'));`,
    client: (
      ip: string,
    ) => `const socket = require('node:dgram').createSocket('${ip.includes(':') ? 'udp6' : 'udp4'}');
    socket.on('message', () => console.log('tick'));
    setInterval(() => socket.send('x', ${PORT}, '${ip}'), ${TICK_MS});
    console.log('ready');`,
  },
} as const;

/** A process in a pod that tells of each packet that comes. */
async function start(netns: TestNetns, script: string) {
  const args = [`--net=${netns.pin}`, process.execPath, '-e', script];
  const child: ChildProcess = spawn('nsenter', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let ticks = 0;
  const ready = Promise.withResolvers<void>();
  child.stdout!.on('data', (chunk: Buffer) => {
    const text = String(chunk);
    if (text.includes('ready')) ready.resolve();
    ticks += text.split('tick').length - 1;
  });
  await ready.promise;
  return {
    ticks: () => ticks,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

type End = Awaited<ReturnType<typeof start>>;

async function untilTicks(end: End): Promise<void> {
  const before = end.ticks();
  for (let tries = 0; tries < 200; tries++) {
    if (end.ticks() > before + 2) return;
    await delay(50);
  }
  assert.fail('nothing comes');
}

/** What is on its way may still come; then there must be nothing. */
async function assertQuiet(ends: readonly End[]): Promise<void> {
  await delay(QUIET_MS);
  const before = ends.map(({ ticks }) => ticks());
  await delay(QUIET_MS);
  assert.deepEqual(
    ends.map(({ ticks }) => ticks()),
    before,
  );
}

const pods = `
apiVersion: v1
kind: Pod
metadata: {name: server, labels: {app: server}}
status: {podIPs: [{ip: 10.0.0.1}, {ip: "fd00::1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: client, labels: {app: client}}
status: {podIPs: [{ip: 10.0.0.2}, {ip: "fd00::2"}]}
`;
const isolated = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: nobody}
spec: {podSelector: {matchLabels: {app: server}}, policyTypes: [Ingress]}
`;
const isolatedKey = resourceKey({
  ...{ kind: 'NetworkPolicy', group: 'networking.k8s.io' },
  ...{ namespace: 'default', name: 'nobody' },
});

function put(world: PolicyWorld, text: string): void {
  for (const resource of readDocuments(text, 'test').resources) world.put(resource);
}

describe('flows that are open when policies change (POL-03)', () => {
  for (const protocol of ['tcp', 'udp'] as const) {
    for (const ip of ['10.0.0.1', 'fd00::1']) {
      it(`strict: ${protocol} to ${ip} is cut both ways, and goes on when it is allowed again`, async () => {
        await using network = await createPodNetwork('routed', [
          ['10.0.0.1', 'fd00::1'],
          ['10.0.0.2', 'fd00::2'],
        ]);
        const [server, client] = network.pods;
        using nft = openNftIn(network.host.pin);
        const world = new PolicyWorld();
        put(world, pods);
        using policy: RunningPolicy = startPolicy({ world, nft, isStrict: true });
        await using listening = await start(server!.netns, scripts[protocol].server);
        await using calling = await start(client!.netns, scripts[protocol].client(ip));
        await untilTicks(listening);
        await untilTicks(calling);
        put(world, isolated);
        policy.apply();
        await assertQuiet([listening, calling]);
        // Also after somebody has let it through again.
        network.host.run(
          'nft',
          'flush',
          'set',
          'inet',
          'amphipod_policy',
          ip.includes(':') ? 'revoked6' : 'revoked4',
        );
        await assertQuiet([listening, calling]);
        world.remove(isolatedKey);
        policy.apply();
        await untilTicks(listening);
        await untilTicks(calling);
      });
    }
  }

  it('not strict: they go on', async () => {
    await using network = await createPodNetwork('bridged', [
      ['10.0.0.1', 'fd00::1'],
      ['10.0.0.2', 'fd00::2'],
    ]);
    const [server, client] = network.pods;
    using nft = openNftIn(network.host.pin);
    const world = new PolicyWorld();
    put(world, pods);
    using policy = startPolicy({ world, nft });
    await using listening = await start(server!.netns, scripts.tcp.server);
    await using _calling = await start(client!.netns, scripts.tcp.client('10.0.0.1'));
    await untilTicks(listening);
    put(world, isolated);
    policy.apply();
    await untilTicks(listening);
  });

  it('strict: what the node has asked for goes on, and so does what is allowed', async () => {
    await using network = await createPodNetwork('routed', [
      ['10.0.0.1', 'fd00::1'],
      ['10.0.0.2', 'fd00::2'],
    ]);
    const [server, client] = network.pods;
    using nft = openNftIn(network.host.pin);
    const world = new PolicyWorld();
    put(world, pods);
    using policy = startPolicy({ world, nft, isStrict: true });
    await using _listening = await start(server!.netns, scripts.tcp.server);
    await using node = await start(network.host, scripts.tcp.client('10.0.0.1'));
    await using allowed = await start(client!.netns, scripts.tcp.client('10.0.0.1'));
    await untilTicks(allowed);
    const fromClient = 'ingress: [{from: [{podSelector: {matchLabels: {app: client}}}]}]';
    put(world, isolated.replace('policyTypes: [Ingress]', fromClient));
    policy.apply();
    await untilTicks(node);
    await untilTicks(allowed);
  });
});
