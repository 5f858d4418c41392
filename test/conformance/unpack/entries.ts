import type { Entry } from '@amphipod/images/testing';

// Entries of layers in few words.

export const dir = (path: string, more: Partial<Entry> = {}): Entry => ({ path, type: 'directory', ...more });
export const file = (path: string, data = path, more: Partial<Entry> = {}): Entry => ({
  path,
  data,
  ...more,
});
export const symlink = (path: string, linkPath: string, more: Partial<Entry> = {}): Entry => ({
  path,
  type: 'symlink',
  linkPath,
  ...more,
});
export const hardlink = (path: string, linkPath: string, more: Partial<Entry> = {}): Entry => ({
  path,
  type: 'hardlink',
  linkPath,
  ...more,
});
