// Runs in a pod's network namespace: listens on ports, and tries to reach others when told to, a line of JSON each.
// node policy-prober.ts '{"tcp":[80],"udp":[53]}'
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';

export interface ProbeRequest {
  id: number;
  protocol: 'tcp' | 'udp' | 'icmp';
  ip: string;
  port: number;
  timeoutMs: number;
}

function reachesTcp({ ip, port, timeoutMs }: ProbeRequest): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: ip, port });
    const end = (isReached: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(isReached);
    };
    const timer = setTimeout(() => end(false), timeoutMs);
    socket.on('data', () => end(true));
    socket.on('error', () => end(false));
  });
}

function reachesUdp({ ip, port, timeoutMs }: ProbeRequest): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket(ip.includes(':') ? 'udp6' : 'udp4');
    const end = (isReached: boolean) => {
      clearTimeout(timer);
      socket.close();
      resolve(isReached);
    };
    const timer = setTimeout(() => end(false), timeoutMs);
    socket.on('message', () => end(true));
    socket.on('error', () => end(false));
    socket.send('ask', port, ip);
  });
}

function reachesIcmp({ ip, timeoutMs }: ProbeRequest): Promise<boolean> {
  const ping = spawn('ping', ['-c', '1', '-W', `${timeoutMs / 1000}`, '-n', ip], { stdio: 'ignore' });
  return new Promise((resolve) => ping.on('exit', (code) => resolve(code === 0)));
}

const tries = { tcp: reachesTcp, udp: reachesUdp, icmp: reachesIcmp };

async function listen(ports: { tcp: number[]; udp: number[] }): Promise<void> {
  const servers = [
    ...ports.tcp.map((port) => {
      const server = createServer((socket) => {
        socket.on('error', () => {});
        socket.end('yes');
      });
      return new Promise<void>((resolve) => server.listen(port, '::', resolve));
    }),
    ...ports.udp.map((port) => {
      const socket = createSocket('udp6');
      socket.on('message', (_message, { address, port: from }) => socket.send('yes', from, address));
      socket.on('error', () => {});
      return new Promise<void>((resolve) => socket.bind(port, '::', resolve));
    }),
  ];
  await Promise.all(servers);
}

if (import.meta.main) {
  await listen(JSON.parse(process.argv[2]!) as { tcp: number[]; udp: number[] });
  process.stdout.write('listening\n');
  for await (const line of createInterface(process.stdin)) {
    const request = JSON.parse(line) as ProbeRequest;
    void tries[request.protocol](request).then((isReached) =>
      process.stdout.write(`${JSON.stringify({ id: request.id, isReached })}\n`),
    );
  }
  process.exit(0);
}
