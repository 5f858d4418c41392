import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Subject } from './subjects.ts';
import { run } from './world.ts';

/** Why tests with links of this kind cannot run here; false when they can. */
export function lacksLinkKind(kind: string): string | false {
  try {
    run('ip', 'link', 'add', 'kindprobe', 'type', kind);
  } catch (error) {
    // Other refusals are about a parent or an id that is missing: the kind is there.
    const isUnknown = /not supported|Unknown device type/.test((error as { stderr: string }).stderr);
    return isUnknown && `this kernel has no ${kind} links`;
  }
  run('ip', 'link', 'del', 'kindprobe');
  return false;
}

/** Why the subject cannot be tested; false when it has the plugin. */
export function lacksPlugin({ name, pluginDirs }: Subject, type: string): string | false {
  return !pluginDirs.some((dir) => existsSync(join(dir, type))) && `${name} has no plugin "${type}"`;
}
