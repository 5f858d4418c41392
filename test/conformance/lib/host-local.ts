import type { Subject } from './subjects.ts';
import { type Config, call, type World } from './world.ts';

/** host-local as runtimes call it. @param rest keys beside `ipam` */
export function ipamConfig(world: World, more: object, rest: object = {}): Config {
  return { type: 'host-local', ipam: { type: 'host-local', dataDir: world.dataDir, ...more }, ...rest };
}

/** ADD; host-local does not look at the namespace. */
export const add = (
  subject: Subject,
  config: Config,
  containerID: string,
  more: { ifName?: string; args?: string } = {},
) => call(subject, 'ADD', config, { containerID, netns: '/dummy', ...more });
/** DEL of the same. */
export const del = (subject: Subject, config: Config, containerID: string, more: { ifName?: string } = {}) =>
  call(subject, 'DEL', config, { containerID, netns: '/dummy', ...more });
/** The first address that an ADD gives. */
export const firstIp = async (result: ReturnType<typeof add>) => (await result).ips![0]!.address;
