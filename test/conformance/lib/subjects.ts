import { createInvoker, type InProcessPlugins, type Invoker } from '@amphipod/cni';
import { builtinPlugins, pluginBinDir } from '@amphipod/plugins';

/** A set of plugins under test. */
export interface Subject {
  name: string;
  pluginDirs: string[];
  inProcess?: InProcessPlugins;
  /** The newest version of the specification that it speaks. */
  cniVersion: string;
  isOurs: boolean;
  isExecutable: boolean;
  invoker: Invoker;
}

const ours = { pluginDirs: [pluginBinDir], cniVersion: '1.1.0', isOurs: true };
const reference = { pluginDirs: ['/usr/lib/cni'], cniVersion: '1.0.0', isOurs: false };
const inProcess = builtinPlugins();

/** Ours both ways, and Debian's containernetworking-plugins 1.1.1, which shows that a case is right. */
export const subjects: Subject[] = [
  {
    name: 'ours in process',
    ...ours,
    inProcess,
    isExecutable: false,
    invoker: createInvoker({ ...ours, inProcess, ownGroup: true }),
  },
  { name: 'ours executed', ...ours, isExecutable: true, invoker: createInvoker({ ...ours, ownGroup: true }) },
  {
    name: 'reference',
    ...reference,
    isExecutable: true,
    invoker: createInvoker({ ...reference, ownGroup: true }),
  },
];
