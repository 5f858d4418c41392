import { globSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { mountInfo } from '@amphipod/linux';
import { allCgroups } from './pods.ts';
import { run } from './program.ts';

/** What a program may leave on a machine, as sorted lines by subject. */
export type MachineState = Record<string, string[]>;

/** The state of the machine as far as this mount and network namespace see it. */
export async function machineState(): Promise<MachineState> {
  const lines = (text: string) => text.split('\n').filter((line) => line !== '');
  return {
    links: lines(await run(['ip', '-o', 'link'])),
    addresses: lines(await run(['ip', '-o', 'address'])).map((line) => line.replace(/\s+/g, ' ')),
    routes: lines(await run(['ip', 'route', 'show', 'table', 'all'])),
    netns: lines(await run(['ip', 'netns'])),
    nft: lines(await run(['nft', '--stateless', 'list', 'ruleset'])),
    sysctls: globSync(
      '/proc/sys/net/ipv4/{ip_forward,conf/{all,default,lo}/{route_localnet,forwarding,rp_filter}}',
    )
      .toSorted()
      .map((file) => `${file} ${readFileSync(file, 'latin1').trim()}`),
    mounts: mountInfo()
      .map(({ mountPoint, fsType, source }) => `${mountPoint} ${fsType} ${source}`)
      .toSorted(),
    cgroups: cgroupNames(),
    run: tree('/run'),
    files: ['/tmp', '/var/tmp', '/var/lib', '/etc/cni', '/etc/amphipod', '/opt/cni'].flatMap(names),
    processes: processes(),
  };
}

/** Cgroups of this project: others come and go on a machine that is used. */
function cgroupNames(): string[] {
  return [...new Set(allCgroups().mounts.values())]
    .flatMap((mountPoint) => names(mountPoint))
    .filter((path) => path.includes('amphipod') || path.includes('demo'))
    .toSorted();
}

function names(dir: string): string[] {
  try {
    return readdirSync(dir)
      .map((name) => `${dir}/${name}`)
      .filter((path) => !path.includes('/node-compile-cache'))
      .toSorted();
  } catch {
    return [];
  }
}

function tree(dir: string): string[] {
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .map((entry) => `${entry.parentPath}/${entry.name}`)
    .toSorted();
}

/** Command lines of the processes in this mount namespace or one that came out of it, by the network namespace. */
function processes(): string[] {
  const own = readlinkSync('/proc/self/ns/net');
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      try {
        if (readlinkSync(`/proc/${pid}/ns/net`) !== own) return [];
        return [`${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()}`];
      } catch {
        return [];
      }
    })
    .toSorted();
}
