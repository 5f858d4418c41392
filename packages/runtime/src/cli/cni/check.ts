import { defineCommand } from '../command.ts';
import { attachmentOptions, readAttachment } from './attachment-options.ts';
import { asCnitool, openNetwork } from './network-options.ts';

export const command = defineCommand({
  name: 'cni check',
  summary: 'Check that an attachment is as it was made',
  operands: 'NETWORK NETNS',
  arity: [2, 2],
  isLocal: true,
  options: attachmentOptions,
  details: `Prints nothing when all is well.

Example:
  amphipod cni check pods /run/netns/web`,
  async run([network, netns], options, context) {
    const { list, cni } = openNetwork(network!, options, context);
    const attachment = readAttachment(netns!, options, context.env);
    await asCnitool(() => cni.checkList(list, attachment));
    return 0;
  },
});
