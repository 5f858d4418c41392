import { closeSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { libcCall } from './libc.ts';
import { MS } from './mounts.ts';
import { type NamespacePins, unpinNamespace } from './namespaces.ts';
import { pipe, type SpawnedProcess, spawnProcess } from './spawn.ts';

/** One line of /proc/PID/uid_map: `length` ids from `containerId` on are those from `hostId` on outside (user_namespaces(7)). */
export interface IdMapping {
  containerId: number;
  hostId: number;
  length: number;
}

export interface UserNamespacePins extends NamespacePins {
  user: string;
}

export interface UserNamespaceMaps {
  uids: readonly IdMapping[];
  gids: readonly IdMapping[];
}

/** Of util-linux; its options for the kinds of {@link UserNamespacePins}. */
const unshareProgram = '/usr/bin/unshare';
const unshareOptions = { user: '--user', net: '--net', ipc: '--ipc', uts: '--uts' } as const;

/**
 * Makes a user namespace with these maps and, owned by it, other namespaces; pins each as a bind mount on a file. A program
 * does it (`unshare`), because a process with threads can enter no user namespace. All or nothing.
 * @throws SyscallError, Error with what `unshare` said
 */
export async function createPinnedUserNamespace(
  pins: UserNamespacePins,
  { uids, gids }: UserNamespaceMaps,
): Promise<void> {
  const kinds = Object.keys(pins) as (keyof UserNamespacePins)[];
  const made: string[] = [];
  await using holder = await holdNamespaces(kinds);
  try {
    writeFileSync(`/proc/${holder.pid}/uid_map`, mapText(uids));
    writeFileSync(`/proc/${holder.pid}/gid_map`, mapText(gids));
    for (const kind of kinds) {
      const pin = pins[kind]!;
      writeFileSync(pin, '', { flag: 'wx', mode: 0o444 });
      made.push(pin);
      libcCall('mount', pin, `/proc/${holder.pid}/ns/${kind}`, pin, null, MS.BIND, null);
    }
  } catch (error) {
    for (const pin of made) unpinNamespace(pin);
    throw error;
  }
}

function mapText(maps: readonly IdMapping[]): string {
  return maps.map(({ containerId, hostId, length }) => `${containerId} ${hostId} ${length}\n`).join('');
}

/** A process in new namespaces of these kinds, which ends with the scope. */
async function holdNamespaces(
  kinds: readonly (keyof UserNamespacePins)[],
): Promise<AsyncDisposable & { pid: number }> {
  const [input, output] = [pipe(), pipe()];
  let child: SpawnedProcess;
  try {
    // It says a word when it is in the namespaces and lives until its input ends.
    const script = ['/bin/sh', '-c', 'echo in; read -r _'];
    child = spawnProcess(unshareProgram, [...kinds.map((kind) => unshareOptions[kind]), '--', ...script], {
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
      fds: [input.read, output.write, output.write],
    });
  } catch (error) {
    for (const fd of [input.write, output.read]) closeSync(fd);
    throw error;
  } finally {
    for (const fd of [input.read, output.write]) closeSync(fd);
  }
  const holder = {
    pid: child.pid,
    async [Symbol.asyncDispose]() {
      closeSync(input.write);
      await child.exited;
    },
  };
  const said = await firstText(output.read);
  if (said.startsWith('in\n')) return holder;
  await holder[Symbol.asyncDispose]();
  throw new Error(`make user namespace: ${said.trim() || `${unshareProgram} ended`}`);
}

/** What can be read first, up to 4 KiB; closes the descriptor. */
async function firstText(fd: number): Promise<string> {
  const stream = new Socket({ fd, readable: true, writable: false });
  for await (const chunk of stream) return (chunk as Buffer).toString('utf8', 0, 4096);
  return '';
}
