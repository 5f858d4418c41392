import { defineCommand } from '../command.ts';
import { asCnitool, networkOptions, openNetwork } from './network-options.ts';

export const command = defineCommand({
  name: 'cni status',
  summary: 'Ask whether a network can take attachments',
  operands: 'NETWORK [NETNS]',
  arity: [1, 2],
  isLocal: true,
  options: networkOptions,
  details: `Prints nothing when it can. Networks of versions before 1.1.0 are not asked. NETNS is there because cnitool wants it.

Example:
  amphipod cni status pods`,
  async run([network], options, context) {
    const { list, cni } = openNetwork(network!, options, context);
    await asCnitool(() => cni.status(list));
    return 0;
  },
});
