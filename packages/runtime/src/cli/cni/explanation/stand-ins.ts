import type { ParentLink, ScratchRequest } from './scratch-request.ts';
import type { Run } from './snapshot.ts';

/**
 * Makes links of the same names as on the machine, so that plugins find their parents; gives notes on what could not be
 * made. A veth pair stands in where the kernel has no dummy links.
 */
export function makeStandIns(run: Run, { parents, defaultRoute }: ScratchRequest): string[] {
  const notes: string[] = [];
  for (const parent of parents) {
    if (!makeLink(run, parent)) notes.push(`no stand-in could be made for the link ${parent.name}`);
  }
  if (defaultRoute !== undefined) {
    const { dev, via } = defaultRoute;
    run('ip', 'route', 'add', 'default', ...(via === undefined ? [] : ['via', via]), 'dev', dev, 'onlink');
  }
  return notes;
}

function makeLink(run: Run, { name, mtu, mac, addresses }: ParentLink): boolean {
  const made =
    run('ip', 'link', 'add', name, 'type', 'dummy') ??
    run('ip', 'link', 'add', name, 'type', 'veth', 'peer', 'name', `x${name}`.slice(0, 15));
  if (made === undefined) return false;
  run('ip', 'link', 'set', `x${name}`.slice(0, 15), 'mtu', String(mtu), 'up');
  run('ip', 'link', 'set', name, 'mtu', String(mtu), ...(mac === undefined ? [] : ['address', mac]), 'up');
  for (const address of addresses) run('ip', 'address', 'add', address, 'dev', name);
  return true;
}
