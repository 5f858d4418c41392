import type { AttachmentId } from '@amphipod/cni';
import { defineCommand } from '../command.ts';
import { UsageError } from '../errors.ts';
import { asCnitool, networkOptions, openNetwork } from './network-options.ts';

export const command = defineCommand({
  name: 'cni gc',
  summary: 'Detach everything from a network that is not to be kept',
  operands: 'NETWORK [NETNS]',
  arity: [1, 2],
  isLocal: true,
  options: {
    keep: { type: 'string', multiple: true, value: 'ID/IFNAME', help: 'an attachment that stays' },
    ...networkOptions,
  },
  details: `Without --keep everything goes, as with cnitool. NETNS is there because cnitool wants it.

Example:
  amphipod cni gc pods --keep 3f2a…/eth0`,
  async run([network], options, context) {
    const validAttachments = (options.keep ?? []).map(readAttachmentId);
    const { list, cni } = openNetwork(network!, options, context);
    await asCnitool(() => cni.gc(list, { validAttachments }));
    return 0;
  },
});

function readAttachmentId(text: string): AttachmentId {
  const [containerID = '', ifName = '', ...more] = text.split('/');
  if (containerID === '' || ifName === '' || more.length > 0)
    throw new UsageError(`--keep "${text}": expected ID/IFNAME`);
  return { containerID, ifName };
}
