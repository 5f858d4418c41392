// Traffic between pods that goes on while something happens, and what `ip monitor` says meanwhile.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { TestNetns } from '../kernel/netlink-namespaces.ts';
import { until } from './nodes.ts';

interface Running extends AsyncDisposable {
  output(): string;
}

function start(netns: TestNetns, command: readonly string[]): Running {
  const child: ChildProcess = spawn('nsenter', [`--net=${netns.pin}`, ...command], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  let output = '';
  child.stdout!.on('data', (chunk: Buffer) => {
    output += chunk;
  });
  return {
    output: () => output,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

export interface Traffic extends AsyncDisposable {
  /** How many packets have been answered, and how many of those before the last answered one have not. */
  count(): { answered: number; lost: number };
  /** Waits for so many further answers. */
  untilAnswered(more: number): Promise<void>;
}

/** Pings an address twenty times a second until it is disposed of. */
export function startTraffic(from: TestNetns, ip: string): Traffic {
  const running = start(from, ['busybox', 'ping', '-i', '0.05', ip]);
  const count = () => {
    const answers = [...running.output().matchAll(/ seq=(\d+) /g)].map((match) => Number(match[1]));
    const last = answers.at(-1) ?? -1;
    return { answered: answers.length, lost: last + 1 - answers.length };
  };
  return {
    count,
    async untilAnswered(more) {
      const { answered } = count();
      await until(`${ip} answers`, () => count().answered >= answered + more);
    },
    [Symbol.asyncDispose]: () => running[Symbol.asyncDispose](),
  };
}

/** `ip monitor neigh` on a link, from the moment that it surely listens. */
export async function monitorNeighbours(netns: TestNetns, link: string): Promise<Running> {
  const running = start(netns, ['ip', 'monitor', 'neigh', 'dev', link]);
  await until('the monitor listens', () => {
    netns.run('ip', 'neigh', 'replace', '203.0.113.1', 'lladdr', '02:00:00:00:00:01', 'dev', link);
    return running.output().includes('203.0.113.1');
  });
  return running;
}
