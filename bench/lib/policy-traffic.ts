/** What two pods carry through the rules of the host between them: bits, and new connections, per second. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import type { PodNetwork } from '../../test/kernel/policy-pods.ts';

const SECONDS = 2;
const LISTENS_TRIES = 100;

async function outputOf(pin: string, command: string[]): Promise<string> {
  const child = spawn('nsenter', [`--net=${pin}`, ...command], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk;
  });
  await once(child, 'close');
  return text;
}

/** Bits per second of one TCP stream from the first pod to the second. */
export async function throughput({ pods: [from, to] }: PodNetwork): Promise<number> {
  const server = spawn('nsenter', [`--net=${to!.netns.pin}`, 'iperf3', '-s', '-p', '5201'], {
    stdio: 'ignore',
  });
  const exited = once(server, 'exit');
  try {
    for (let tries = 0; !to!.netns.run('ss', '-tln').includes(':5201'); tries++) {
      if (tries === LISTENS_TRIES) throw new Error('iperf3 does not listen');
      await delay(20);
    }
    const text = await outputOf(from!.netns.pin, ['iperf3', '-c', to!.ips[0]!, '-t', `${SECONDS}`, '-J']);
    const { end } = JSON.parse(text) as { end: { sum_received: { bits_per_second: number } } };
    return end.sum_received.bits_per_second;
  } finally {
    server.kill('SIGKILL');
    await exited;
  }
}

/** Connections per second that the first pod opens to port 80 of the second one, 16 at a time. */
export async function connectionRate({ pods: [from, to] }: PodNetwork): Promise<number> {
  const script = `
    const { connect } = require('node:net');
    let count = 0;
    const end = performance.now() + ${SECONDS * 1000};
    const next = () => {
      if (performance.now() > end) return;
      const socket = connect(80, ${JSON.stringify(to!.ips[0])});
      socket.on('connect', () => { count++; socket.resetAndDestroy(); });
      socket.on('error', () => {});
      socket.on('close', next);
    };
    for (let i = 0; i < 16; i++) next();
    process.on('exit', () => console.log(count));`;
  return Number(await outputOf(from!.netns.pin, [process.execPath, '-e', script])) / SECONDS;
}
