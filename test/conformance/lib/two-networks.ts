import type { Result } from '@amphipod/cni';
import { type Config, inPod, ipInPod, link, run, type World } from './world.ts';

export const sbr: Config = { type: 'sbr' };

/** `10.99.0.2 → 100`, in the order in which the kernel looks at them; its own three rules left out. */
export function rules(netns: string): string[] {
  const lists = ['-4', '-6'].map((family) => inPod(netns, 'ip', '-j', '-N', family, 'rule', 'show'));
  return lists
    .flatMap((text) => JSON.parse(text) as { src: string; table: string; priority: number }[])
    .filter(({ src }) => src !== 'all')
    .sort((a, b) => Number(a.table) - Number(b.table))
    .map(({ src, table }) => `${src} → ${table}`);
}

/** Routes of a table as lines of `ip`, without link-local ones. */
export function table(netns: string, name: string | number): string[] {
  const show = (family: string) =>
    inPod(netns, 'sh', '-c', `ip ${family} route show table ${name} 2>/dev/null || true`).split('\n');
  return [...show('-4'), ...show('-6')]
    .map((line) => line.replaceAll(/ (linkdown|pref medium|metric 1024)/g, '').trim())
    .filter((line) => line !== '' && !/^(local )?fe80::/.test(line) && !line.startsWith('multicast'));
}

export interface Pod {
  netns: string;
  ifName: string;
  prevResult: Result;
}

/** A pod with eth0, which has the default route, and the interface net1 of a second network. */
export function podWithTwoNetworks(world: World, ips: Result['ips'], lines: string[] = []): Pod {
  const netns = world.netns('pod');
  run('ip', ...'link add host-a type veth peer name eth0 netns'.split(' '), netns);
  run('ip', ...'link add host-b type veth peer name net1 netns'.split(' '), netns);
  run('ip', 'link', 'set', 'host-a', 'up');
  run('ip', 'link', 'set', 'host-b', 'up');
  ipInPod(
    netns,
    'link set eth0 up',
    'link set net1 up',
    'address add 10.88.0.2/24 dev eth0',
    'route add default via 10.88.0.1',
    ...ips!.map(({ address }) => `address add ${address} dev net1${address.includes(':') ? ' nodad' : ''}`),
    ...lines,
  );
  const interfaces = [
    { name: 'host-b' },
    { name: 'net1', mac: link('net1', netns)!.address, sandbox: netns },
  ];
  return {
    netns,
    ifName: 'net1',
    prevResult: { interfaces, ips: ips!.map((ip) => ({ ...ip, interface: 1 })) },
  };
}

export const v4 = { address: '10.99.0.2/24', gateway: '10.99.0.1' };
export const v6 = { address: 'fd00:99::2/64', gateway: 'fd00:99::1' };
export const eth0Routes = [
  'default via 10.88.0.1 dev eth0',
  '10.88.0.0/24 dev eth0 proto kernel scope link src 10.88.0.2',
];
