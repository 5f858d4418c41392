import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, test } from 'node:test';
import { PortForwardRequest } from '../../packages/runtime/src/gen/api.ts';
import { projectDir } from './support/amphipod.ts';
import { findCrictl, lacksCrictl } from './support/crictl.ts';
import {
  connectionsOf,
  endSessionsAfterEach,
  startCrictl,
  type Transport,
  transportsOf,
} from './support/crictl-session.ts';
import { subjects, useServer } from './support/fixture.ts';
import {
  containerInfo,
  kubeletNamespaces,
  NamespaceMode,
  removePod,
  runPod,
  startContainer,
} from './support/pods.ts';
import { freePort } from './support/registry.ts';
import { eventually } from './support/wait.ts';

const program = findCrictl();
const MiB = 1 << 20;

/** Serves by the first byte that comes: the way in which a server behaves that a client meets. */
const podServer = `
require('node:net').createServer({ allowHalfOpen: true }, (socket) => {
  socket.on('error', () => {});
  socket.once('data', (bytes) => {
    if (bytes[0] === 0x65) { socket.write(bytes); socket.pipe(socket); }
    if (bytes[0] === 0x72) socket.resetAndDestroy();
    if (bytes[0] === 0x68) { socket.resume(); socket.once('end', () => socket.end(Buffer.alloc(${10 * MiB}, 'h'))); }
    if (bytes[0] === 0x66) { const flood = () => { while (socket.write(Buffer.alloc(65536))); }; socket.on('drain', flood); flood(); }
  });
}).listen(Number(process.argv[1]), process.argv[2], () => console.log('listening'));
`;

for (const subject of subjects) {
  describe(`crictl port-forward with ${subject}`, { skip: lacksCrictl }, () => {
    const fixture = useServer(subject);
    endSessionsAfterEach();

    /** Runs `podServer` in the network namespace of a container and forwards a free port of ours to it. */
    const withForward = async (
      { transport, address = '127.0.0.1', network = NamespaceMode.POD }: ForwardOptions,
      work: (port: number, session: ReturnType<typeof startCrictl>) => Promise<void>,
    ) => {
      const namespaceOptions = kubeletNamespaces({ network });
      const linux = { securityContext: { namespaceOptions } };
      const pod = await runPod(fixture.cri, {
        linux,
        // The node's network comes with the node's host name.
        ...(network === NamespaceMode.NODE && { hostname: '' }),
      });
      const id = await startContainer(fixture.cri, pod, { image: fixture.image, linux });
      const { pid } = await containerInfo(fixture.cri, id);
      const [there, here] = [await freePort(), await freePort()];
      const server = spawn('nsenter', [
        ...['-t', `${pid}`, '-n', `${projectDir}/bin/node24`, '-e', podServer, `${there}`, address],
      ]);
      try {
        await once(server.stdout, 'data');
        const args = ['port-forward', '--transport', transport, pod.id, `${here}:${there}`];
        const session = startCrictl(program!, fixture.server, args);
        await eventually('the port', () => session.output().includes(`${here}`));
        await work(here, session);
      } finally {
        server.kill('SIGKILL');
      }
      await removePod(fixture.cri, pod);
    };

    for (const transport of transportsOf(subject)) {
      test(`${transport}: the answer is complete after the end of the question (EXE-09)`, async (t) => {
        if (subject === 'containerd')
          return t.skip('containerd 1.6 does not hand on the end of the question before the answer');
        await withForward({ transport }, async (port) => {
          assert.equal(`${await ask(port, 'echo')}`, 'echo');
          assert.equal((await ask(port, 'half')).length, 10 * MiB);
        });
      });

      test(`${transport}: 40 connections at once`, async () => {
        await withForward({ transport }, async (port) => {
          const words = Array.from({ length: 40 }, (_, i) => `echo ${i} ${'x'.repeat(1000 * i)}`);
          const answers = await Promise.all(words.map((word) => ask(port, word)));
          assert.deepEqual(answers.map(String), words);
        });
      });

      test(`${transport}: a connection that breaks is alone in that (EXE-09)`, async (t) => {
        if (subject === 'containerd')
          return t.skip('containerd 1.6 writes to the error stream, on which crictl ends the session');
        await withForward({ transport }, async (port) => {
          await Promise.all(Array.from({ length: 20 }, () => ask(port, 'reset').catch(() => {})));
          const floods = await Promise.all(Array.from({ length: 5 }, () => open(port, 'flood')));
          await Promise.all(floods.map((flood) => once(flood, 'data')));
          for (const flood of floods) flood.resetAndDestroy();
          assert.equal(`${await ask(port, 'echo')}`, 'echo');
          if (subject === 'amphipod') {
            const { pid } = fixture.server.program();
            await eventually('the end of the others', () => connectionsOf(pid) === 1);
          }
        });
      });

      test(`${transport}: a program on the IPv6 loopback only (EXE-10)`, async (t) => {
        // Both look for IPv4 only in the version that Debian 12 has.
        if (subject === 'containerd') return t.skip('containerd 1.6 dials IPv4 first and does not try IPv6');
        await withForward({ transport, address: '::1' }, async (port) => {
          assert.equal(`${await ask(port, 'echo')}`, 'echo');
        });
      });

      test(`${transport}: a pod on the node's network`, async () => {
        await withForward({ transport, network: NamespaceMode.NODE }, async (port) => {
          assert.equal(`${await ask(port, 'echo')}`, 'echo');
        });
      });

      test(`${transport}: a port where nobody listens is told`, async () => {
        const pod = await runPod(fixture.cri);
        const here = await freePort();
        const args = ['port-forward', '--transport', transport, pod.id, `${here}:81`];
        const session = startCrictl(program!, fixture.server, args);
        await eventually('the port', () => session.output().includes(`${here}`));
        let said = '';
        session.child.stderr!.on('data', (text: string) => {
          said += text;
        });
        await ask(here, 'echo').catch(() => {});
        await eventually('the reason', () => /refused/i.test(said));
        await removePod(fixture.cri, pod);
      });
    }

    test('port 0 and 70000 are refused', async (t) => {
      if (subject === 'containerd') return t.skip('containerd hands out a URL for any port');
      const pod = await runPod(fixture.cri);
      for (const port of [0, 70_000]) {
        const request = PortForwardRequest.create({ podSandboxId: pod.id, port: [port] });
        await assert.rejects(fixture.cri.portForward(request), /port: \d+ is not between 1 and 65535/);
      }
      await removePod(fixture.cri, pod);
    });
  });
}

interface ForwardOptions {
  transport: Transport;
  address?: string;
  network?: NamespaceMode;
}

async function open(port: number, question: string): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => {});
  await once(socket, 'connect');
  socket.write(question);
  return socket;
}

/** Sends a question and its end; returns all that comes back. @throws Error when the connection breaks */
async function ask(port: number, question: string): Promise<Buffer> {
  const socket = await open(port, question);
  socket.end();
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
