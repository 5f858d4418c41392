import { cniCommands } from './cni/commands.ts';
import type { Command } from './command.ts';
import { configCommands } from './config/commands.ts';
import { imageCommands } from './image/commands.ts';
import { netCommands } from './net/commands.ts';
import { policyCommands } from './policy/commands.ts';

export interface CommandEntry {
  summary: string;
  /** Loads only the files of this command: `amphipod --help` needs none of them. */
  load(): Promise<{ command: Command }>;
}

/** Commands under one word: `amphipod cni add`. */
export interface CommandGroup {
  summary: string;
  /** What stands above the list of its commands. */
  text: string;
  commands: Record<string, CommandEntry | CommandGroup>;
  /** What runs when none of them is named. */
  default?: CommandEntry;
}

const imageGroup: CommandGroup = {
  summary: 'Inspect, move, check and clean up images',
  text: 'Works with images. "amphipod images" without a command lists them.',
  commands: imageCommands,
};

/** Every command, in the order of `amphipod --help`. */
export const commands: Record<string, CommandEntry | CommandGroup> = {
  up: { summary: 'Run the container runtime in the foreground', load: () => import('./up.ts') },
  agent: { summary: 'Run the network agent in the foreground', load: () => import('./agent.ts') },
  'device-plugin': {
    summary: 'Give devices of pools to the kubelet, in the foreground',
    load: () => import('./device-plugin.ts'),
  },
  run: { summary: 'Run an image as a pod of one container', load: () => import('./run.ts') },
  ps: { summary: 'List containers', load: () => import('./ps.ts') },
  logs: { summary: 'Print what a container wrote', load: () => import('./logs.ts') },
  exec: { summary: 'Run a command in a running container', load: () => import('./exec.ts') },
  attach: { summary: 'Connect to the streams of a running container', load: () => import('./attach.ts') },
  'port-forward': {
    summary: 'Make ports of a pod reachable on this machine',
    load: () => import('./port-forward.ts'),
  },
  stop: { summary: 'Stop containers', load: () => import('./stop.ts') },
  rm: { summary: 'Remove containers', load: () => import('./rm.ts') },
  pull: { summary: 'Pull an image from a registry', load: () => import('./image/pull.ts') },
  load: { summary: 'Load images from an archive or a directory', load: () => import('./image/load.ts') },
  save: { summary: 'Write images to an archive', load: () => import('./image/save.ts') },
  images: { ...imageGroup, summary: 'List images', default: imageCommands.ls! },
  rmi: { summary: 'Remove images', load: () => import('./image/rm.ts') },
  image: imageGroup,
  info: { summary: 'Show the runtime', load: () => import('./info.ts') },
  reload: {
    summary: 'Have the running daemon read its configuration again',
    load: () => import('./reload.ts'),
  },
  config: {
    summary: 'Check the configuration of the runtime, or print a default one',
    text: 'Works with the files that amphipod up reads, without a runtime.',
    commands: configCommands,
  },
  net: {
    summary: 'The overlay, networks of pods, network cards, and the resources of the routed network',
    text: `Asks the network agent of this node for the overlay. Works with the networks of pods in a runtime, with the network cards of this
machine, and with the datastore of the routed network.`,
    commands: netCommands,
  },
  cni: {
    summary: 'Attach to networks; check, explain and install network plugins',
    text: `Works with network configurations and CNI plugins, without a runtime. add, del, check, gc and status take the place of
cnitool and read the same variables: NETCONFPATH, CNI_PATH, CNI_ARGS, CAP_ARGS, CNI_IFNAME.`,
    commands: cniCommands,
  },
  policy: {
    summary: 'Explain, check and test network policies',
    text: 'Works with the network policies that amphipod up --policy-dir enforces.',
    commands: policyCommands,
  },
};
