import { links, run } from './world.ts';

/** Of the device under test. */
export const MAC = 'c2:00:00:00:00:01';

/** A veth is as good as hardware, but for what becomes of it when its namespace ends. */
export function makeDevice(name = 'dev0', mac = MAC): void {
  run('ip', 'link', 'add', name, 'address', mac, 'type', 'veth', 'peer', 'name', `${name}p`);
  run('ip', 'link', 'set', name, 'up');
  run('ip', 'link', 'set', `${name}p`, 'up');
}

/** Names of what is in the pod beside the loopback. */
export function podLinks(netns: string): string[] {
  return links(netns)
    .map(({ ifname }) => ifname)
    .filter((name) => name !== 'lo');
}
