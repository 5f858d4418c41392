import { CollectNetworksRequest } from '../../gen/networks.ts';
import { defineCommand } from '../command.ts';

export const command = defineCommand({
  name: 'net gc',
  summary: 'Take away what no pod has any more',
  operands: '',
  arity: [0, 0],
  options: {},
  details: `GC of every network that is configured, defined or attached: addresses, interfaces, rules and devices that none of the
runtime's pods has. Not for networks that another runtime uses under the same name. Exit code 1 when something could not be taken away.

Example:
  amphipod net gc`,
  async run(_operands, _options, { client, stdout, stderr }) {
    const cri = await client();
    const { networks, faults } = await cri.networks.collectNetworks(CollectNetworksRequest.create({}));
    for (const { network, error } of faults) stderr.write(`amphipod: net gc: network ${network}: ${error}\n`);
    stdout.write(`${networks.map((name) => `${name}\n`).join('')}`);
    return faults.length === 0 ? 0 : 1;
  },
});
