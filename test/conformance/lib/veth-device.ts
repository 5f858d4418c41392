import { ipInPod, run } from './world.ts';

/** Of the device under test. */
export const MAC = 'c2:00:00:00:00:01';

/** A veth is as good as hardware, but for what becomes of it when its namespace ends. */
export function makeDevice(name = 'dev0', mac = MAC): void {
  run('ip', 'link', 'add', name, 'address', mac, 'type', 'veth', 'peer', 'name', `${name}p`);
  run('ip', 'link', 'set', name, 'up');
  run('ip', 'link', 'set', `${name}p`, 'up');
}

/** A veth pair with a carrier: a parent that every kernel has. */
export function makeMaster(name: string, mtu = 1500): void {
  const words = `link add ${name} mtu ${mtu} type veth peer name ${name}p mtu ${mtu}`;
  run('ip', ...words.split(' '));
  for (const end of [name, `${name}p`]) run('ip', 'link', 'set', end, 'up');
}

/** The same in a pod. */
export function makeMasterInPod(netns: string, name: string): void {
  ipInPod(
    netns,
    `link add ${name} type veth peer name ${name}p`,
    `link set ${name} up`,
    `link set ${name}p up`,
  );
}
