import { CheckNetworksRequest } from '../../gen/networks.ts';
import { defineCommand } from '../command.ts';
import { findPod } from '../find-pod.ts';
import { shortId } from '../output.ts';

export const command = defineCommand({
  name: 'net check',
  summary: 'Check that networks of pods are as they were made',
  operands: '[POD]',
  arity: [0, 1],
  options: {},
  details: `CHECK of every network of the pod, or of all pods that are ready. Exit code 1 when something is wrong.

Example:
  amphipod net check web`,
  async run([reference], _options, { client, stdout, stderr }) {
    const cri = await client();
    const podSandboxId = reference === undefined ? '' : await findPod(cri, reference);
    const { faults, checked } = await cri.networks.checkNetworks(
      CheckNetworksRequest.create({ podSandboxId }),
    );
    for (const { podSandboxId: id, network, interface: ifName, error } of faults) {
      stderr.write(`amphipod: net check: pod ${shortId(id)}, network ${network}, ${ifName}: ${error}\n`);
    }
    stdout.write(`${checked} checked, ${faults.length} wrong\n`);
    return faults.length === 0 ? 0 : 1;
  },
});
