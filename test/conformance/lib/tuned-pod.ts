import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Result } from '@amphipod/cni';
import { type Config, inPod, link, run, type World } from './world.ts';

/** Not the one that the interface has. */
export const MAC = 'c2:11:22:33:44:55';

interface TunedPod {
  pod: { netns: string; prevResult: Result };
  config(more: object): Config;
  dataDir: string;
  /** Files of kept settings. */
  kept(): string[];
  settings(): object;
}

/** A namespace with an interface, as a plugin before could have left it. */
export function pair(world: World, name = 'a'): TunedPod {
  const netns = world.netns(name);
  const words = `link add host-${name} type veth peer name eth0 mtu 1500 txqueuelen 1000 netns`;
  run('ip', ...words.split(' '), netns);
  const mac = link('eth0', netns)!.address;
  const dataDir = join(world.dir, 'tuning');
  return {
    pod: {
      netns,
      prevResult: {
        interfaces: [{ name: `host-${name}` }, { name: 'eth0', mac, sandbox: netns }],
        ips: [{ address: '10.99.0.2/24', interface: 1 }],
      },
    },
    config: (more) => ({ type: 'tuning', dataDir, ...more }),
    dataDir,
    kept: () => (existsSync(dataDir) ? readdirSync(dataDir).sort() : []),
    settings() {
      const { address, mtu, flags, txqlen } = link('eth0', netns) as ReturnType<typeof link> & {
        txqlen: number;
      };
      const has = (flag: string) => flags.includes(flag);
      return { address, mtu, txqlen, promisc: has('PROMISC'), allMulti: has('ALLMULTI') };
    },
  };
}

/** The value of a sysctl in a pod. */
export function sysctl(netns: string, key: string): string {
  return inPod(netns, 'sysctl', '-n', key).trim();
}

/** Changes eth0 of a pod: `ip link set eth0 WORDS…`. */
export function setLink(netns: string, ...words: string[]): void {
  inPod(netns, 'ip', 'link', 'set', 'eth0', ...words);
}
