import { hostname } from 'node:os';
import { join } from 'node:path';
import type { OptionSpecs, OptionValues } from '../command.ts';

/** The options of commands that concern the routed network of this node. */
export const nodeOptions = {
  nodename: { type: 'string', value: 'NAME', help: "name of this node's Node (the host's name)" },
  'bird-dir': { type: 'string', value: 'DIR', help: "BIRD's configuration and socket (/run/amphipod/bird)" },
  'bgp-secrets': {
    type: 'string',
    value: 'DIR',
    help: 'passwords of sessions, DIR/SECRET/KEY (/etc/amphipod/bgp-secrets)',
  },
} as const satisfies OptionSpecs;

/** What they say, with the usual values for those that are not given. */
export function nodePlaces(values: OptionValues<typeof nodeOptions>) {
  const stateDir = values['bird-dir'] ?? '/run/amphipod/bird';
  return {
    nodeName: values.nodename ?? hostname().toLowerCase(),
    stateDir,
    socketPath: join(stateDir, 'bird.ctl'),
    secretsDir: values['bgp-secrets'] ?? '/etc/amphipod/bgp-secrets',
  };
}
