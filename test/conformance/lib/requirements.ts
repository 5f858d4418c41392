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

/** Why tests of a bridge with VLANs cannot run here; false when they can. */
export function lacksVlanFiltering(): string | false {
  const missing = 'this kernel has no VLAN filtering for bridges';
  try {
    run('ip', 'link', 'add', 'vlanprobe', 'type', 'bridge', 'vlan_filtering', '1');
  } catch {
    return missing;
  }
  // Some kernels take the setting and keep no VLANs.
  const vlans = run('bridge', 'vlan', 'show', 'dev', 'vlanprobe');
  run('ip', 'link', 'del', 'vlanprobe');
  return /PVID/.test(vlans) ? false : missing;
}

/** Why the subject cannot be tested; false when it has the plugin. */
export function lacksPlugin({ name, pluginDirs }: Subject, type: string): string | false {
  return !pluginDirs.some((dir) => existsSync(join(dir, type))) && `${name} has no plugin "${type}"`;
}

/**
 * Why the subject cannot do without `master`. Debian 13 builds the reference with a netlink library that gives default routes
 * another form than that version of the plugins looks for.
 */
export function lacksDefaultRoute({ isOurs }: Subject): string | false {
  const version = isOurs ? '' : run('sh', '-c', '. /etc/os-release; echo "$VERSION_ID"').trim();
  return version === '13' && 'the reference of Debian 13 finds no default route';
}
