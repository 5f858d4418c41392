import { DetachNetworkRequest } from '../../gen/networks.ts';
import { defineCommand } from '../command.ts';
import { findPod } from '../find-pod.ts';

export const command = defineCommand({
  name: 'net detach',
  summary: 'Detach a running pod from one of its further networks',
  operands: 'POD NETWORK',
  arity: [2, 2],
  options: {},
  details: `NETWORK is the interface in the pod, NAME or NAMESPACE/NAME. The pod's first network stays as long as the pod.

Example:
  amphipod net detach web net1`,
  async run([reference = '', network = ''], _options, { client }) {
    const cri = await client();
    const podSandboxId = await findPod(cri, reference);
    await cri.networks.detachNetwork(DetachNetworkRequest.create({ podSandboxId, network }));
    return 0;
  },
});
