import { defineCommand } from '../command.ts';
import { attachmentOptions, readAttachment } from './attachment-options.ts';
import { asCnitool, openNetwork } from './network-options.ts';

export const command = defineCommand({
  name: 'cni del',
  summary: 'Detach a network namespace from a network',
  operands: 'NETWORK NETNS',
  arity: [2, 2],
  isLocal: true,
  options: attachmentOptions,
  details: `Fine when there is nothing to detach, and when the namespace is gone. What was attached with the configuration of then is detached with it.

Example:
  amphipod cni del pods /run/netns/web`,
  async run([network, netns], options, context) {
    const { list, cni } = openNetwork(network!, options, context);
    const attachment = readAttachment(netns!, options, context.env);
    await asCnitool(() => cni.delList(list, attachment));
    return 0;
  },
});
