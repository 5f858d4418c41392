import { existsSync, readFileSync, statSync } from 'node:fs';
import { extname } from 'node:path';
import {
  findNetworkConfigList,
  type NetworkConfigList,
  parseNetworkConfig,
  parseNetworkConfigList,
} from '@amphipod/cni';
import { defineCommand, outputOption } from '../command.ts';
import { outputFormat, printJson } from '../output.ts';
import { argumentOptions, readAttachment } from './attachment-options.ts';
import { explainNetwork } from './explanation/explain-network.ts';
import { formatExplanation } from './explanation/format-explanation.ts';
import { asCnitool, placeOptions, readPlaces } from './network-options.ts';

export const command = defineCommand({
  name: 'cni explain',
  summary: 'Show what an attachment would change',
  operands: 'NETWORK|FILE',
  arity: [1, 1],
  isLocal: true,
  options: {
    ...argumentOptions,
    ...placeOptions,
    ...outputOption,
  },
  details: `Runs the plugins in a scratch copy: new network and mount namespaces with a pod of its own, stand-ins for the links
that the configuration names, copies of the plugins' files, and everything else read-only. Nothing on the machine changes. Random
names and addresses are different each time. Needs root. Exit code 1 when the ADD would fail.

Examples:
  amphipod cni explain pods
  amphipod cni explain -o json ./my-network.conflist`,
  async run([network], options, { env, stdout }) {
    const format = outputFormat(options.output);
    const { confDir, pluginDirs } = readPlaces(options, env);
    const { ifName, args = [], capabilityArgs = {} } = readAttachment('/', options, env);
    const list = asCnitool(() => findList(network!, confDir));
    const explanation = explainNetwork(list, { pluginDirs, args, capabilityArgs, ifName });
    if (format === 'json') printJson(stdout, explanation);
    else stdout.write(formatExplanation(explanation));
    return explanation.error === undefined ? 0 : 1;
  },
});

/** A file, when there is one of this name, else a network of the directory. */
function findList(network: string, confDir: string): NetworkConfigList {
  if (!existsSync(network) || !statSync(network).isFile()) return findNetworkConfigList(confDir, network);
  const text = readFileSync(network, 'utf8');
  const parse = extname(network) === '.conflist' ? parseNetworkConfigList : parseNetworkConfig;
  return parse(text, { file: network });
}
