import { encodeResult, stringifyJson } from '@amphipod/cni';
import { defineCommand } from '../command.ts';
import { attachmentOptions, readAttachment } from './attachment-options.ts';
import { asCnitool, openNetwork } from './network-options.ts';

export const command = defineCommand({
  name: 'cni add',
  summary: 'Attach a network namespace to a network',
  operands: 'NETWORK NETNS',
  arity: [2, 2],
  isLocal: true,
  options: attachmentOptions,
  details: `Prints the result of the last plugin. Needs root. After a failure nothing is left.

Examples:
  ip netns add web
  amphipod cni add pods /run/netns/web
  CAP_ARGS='{"portMappings":[{"hostPort":8080,"containerPort":80}]}' amphipod cni add pods /run/netns/web`,
  async run([network, netns], options, context) {
    const { list, cni } = openNetwork(network!, options, context);
    const attachment = readAttachment(netns!, options, context.env);
    const result = await asCnitool(() => cni.addList(list, attachment));
    context.stdout.write(stringifyJson(encodeResult(result, list.cniVersion), 4));
    return 0;
  },
});
