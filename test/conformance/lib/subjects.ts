import { createInvoker, type InProcessPlugins, type Invoker } from '@amphipod/cni';
import { builtinPlugins, pluginBinDir } from '@amphipod/plugins';
import { installInScratch, startPluginServer } from './start-plugin-server.ts';

/** A set of plugins under test. */
export interface Subject {
  name: string;
  pluginDirs: string[];
  inProcess?: InProcessPlugins;
  /** The newest version of the specification that it speaks. */
  cniVersion: string;
  isOurs: boolean;
  isExecutable: boolean;
  /** Each call of a plugin starts Node.js. */
  startsNode: boolean;
  invoker: Invoker;
  /** What its programs get beside the CNI_* variables. */
  env: NodeJS.ProcessEnv;
}

const ours = { pluginDirs: [pluginBinDir], cniVersion: '1.1.0', isOurs: true };
const reference = { pluginDirs: ['/usr/lib/cni'], cniVersion: '1.0.0', isOurs: false };
const inProcess = builtinPlugins();
const { env } = process;
// Falling back to Node.js needs a search path: a server that does not answer cannot go unnoticed.
const serverOnly = { PATH: '/nonexistent' };
const server = { ...ours, pluginDirs: [(await startPluginServer()).binDir] };
const serverless = { ...ours, pluginDirs: [installInScratch('')] };

/** Ours in process and executed, by Node.js and by the plugin server, and Debian's containernetworking-plugins 1.1.1, which shows that a case is right. */
export const allSubjects: Subject[] = [
  {
    name: 'ours in process',
    ...ours,
    inProcess,
    env,
    isExecutable: false,
    startsNode: false,
    invoker: createInvoker({ ...ours, inProcess, ownGroup: true }),
  },
  {
    name: 'ours executed, without a server',
    ...serverless,
    env,
    isExecutable: true,
    startsNode: true,
    invoker: createInvoker({ ...serverless, ownGroup: true }),
  },
  {
    name: 'ours executed, through the server',
    ...server,
    env: serverOnly,
    isExecutable: true,
    startsNode: false,
    invoker: createInvoker({ ...server, env: serverOnly, ownGroup: true }),
  },
  {
    name: 'reference',
    ...reference,
    env,
    isExecutable: true,
    startsNode: false,
    invoker: createInvoker({ ...reference, ownGroup: true }),
  },
];

/**
 * Those that take no Node.js for each call: what is said to them is what matters. That starting one changes nothing is for
 * the tests of the protocol and the first differential case of each plugin, which use all.
 */
export const subjects = allSubjects.filter(({ startsNode }) => !startsNode);
