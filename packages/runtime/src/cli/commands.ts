import type { Command } from './command.ts';

interface CommandEntry {
  summary: string;
  /** Loads only the files of this command: `amphipod --help` needs none of them. */
  load(): Promise<{ command: Command }>;
}

/** Every command, in the order of `amphipod --help`. */
export const commands: Record<string, CommandEntry> = {
  up: { summary: 'Run the container runtime in the foreground', load: () => import('./up.ts') },
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
  pull: { summary: 'Pull an image from a registry', load: () => import('./pull.ts') },
  load: { summary: 'Load an image from an archive or a directory', load: () => import('./load.ts') },
  images: { summary: 'List images', load: () => import('./images.ts') },
  rmi: { summary: 'Remove images', load: () => import('./rmi.ts') },
  info: { summary: 'Show the runtime', load: () => import('./info.ts') },
};
