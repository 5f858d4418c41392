import type { CommandEntry } from '../commands.ts';

/** The commands of `amphipod image`, in the order of its help. */
export const imageCommands: Record<string, CommandEntry> = {
  ls: { summary: 'List images', load: () => import('./ls.ts') },
  inspect: { summary: 'Show layers, sizes, configuration and history', load: () => import('./inspect.ts') },
  pull: { summary: 'Pull an image from a registry', load: () => import('./pull.ts') },
  load: { summary: 'Load images from an archive or a directory', load: () => import('./load.ts') },
  save: { summary: 'Write images to an archive', load: () => import('./save.ts') },
  import: { summary: 'Take images over from containerd, CRI-O or podman', load: () => import('./import.ts') },
  rm: { summary: 'Remove images', load: () => import('./rm.ts') },
  prune: { summary: 'Remove images that nothing uses', load: () => import('./prune.ts') },
  df: { summary: 'Show the disk space that images and containers take', load: () => import('./df.ts') },
  verify: { summary: 'Compare images on disk with their digests; repair', load: () => import('./verify.ts') },
};
