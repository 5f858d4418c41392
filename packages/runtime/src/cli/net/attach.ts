import { AttachNetworksRequest } from '../../gen/networks.ts';
import { defineCommand, outputOption } from '../command.ts';
import { findPod } from '../find-pod.ts';
import { outputFormat, printJson } from '../output.ts';
import { printNetworks } from './print-networks.ts';

export const command = defineCommand({
  name: 'net attach',
  summary: 'Attach a running pod to further networks',
  operands: 'POD NETWORK',
  arity: [2, 2],
  options: outputOption,
  details: `NETWORK is what the annotation k8s.v1.cni.cncf.io/networks of a pod can be: NAME, NAMESPACE/NAME@INTERFACE, several of
these with commas between them, or a JSON list. All of them are attached, or none.

Examples:
  amphipod net attach web storage
  amphipod net attach default/web storage@data0
  amphipod net attach web '[{"name": "storage", "ips": ["10.1.0.7/24"]}]'`,
  async run([reference = '', networks = ''], options, { client, stdout }) {
    const format = outputFormat(options.output);
    const cri = await client();
    const podSandboxId = await findPod(cri, reference);
    const { status } = await cri.networks.attachNetworks(
      AttachNetworksRequest.create({ podSandboxId, networks }),
    );
    if (format === 'json') printJson(stdout, JSON.parse(status));
    else printNetworks(stdout, status);
    return 0;
  },
});
