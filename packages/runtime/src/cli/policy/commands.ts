import type { CommandEntry } from '../commands.ts';

/** The commands of `amphipod policy`. */
export const policyCommands: Record<string, CommandEntry> = {
  explain: {
    summary: 'Say whether a pod may reach another, by which rule, and what would change it',
    load: () => import('./explain.ts'),
  },
  lint: { summary: 'Look for rules that are probably not meant', load: () => import('./lint.ts') },
  test: { summary: 'Run expected connectivity as a test', load: () => import('./test.ts') },
};
