import childProcess from 'node:child_process';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import type { InProcessPlugins } from '@amphipod/cni';
import type { Datastore } from '@amphipod/fabric';
import { inNetnsOfSocket, NETLINK, NetlinkSocket } from '@amphipod/linux';
import { type NetlinkTransport, Nft, Rtnl } from '@amphipod/netlink';
import { builtinPlugins, openDatastore, openPluginHost } from '@amphipod/plugins';

/** Counts the steps of an operation and lets one of them fail. */
export class Fuse {
  /** What the steps were, since {@link arm}. */
  readonly steps: string[] = [];
  #failAt = Number.POSITIVE_INFINITY;
  #isArmed = false;
  #isForGood = false;

  /**
   * Counts from here on; step number `failAt` (the first is 1) fails. With `isForGood` all later ones do too, those that would undo
   * something among them: nothing more happens, as in a process that is killed.
   */
  arm(failAt: number, { isForGood = false }: { isForGood?: boolean } = {}): void {
    this.steps.length = 0;
    this.#failAt = failAt;
    this.#isForGood = isForGood;
    this.#isArmed = true;
  }

  disarm(): void {
    this.#isArmed = false;
  }

  get isBlown(): boolean {
    return this.steps.length >= this.#failAt;
  }

  /** @throws when it is this step's turn */
  step(what: string): void {
    if (!this.#isArmed) return;
    this.steps.push(what);
    const { length } = this.steps;
    if (length === this.#failAt || (this.#isForGood && length > this.#failAt)) {
      throw Object.assign(new Error(`injected failure of step ${this.#failAt}: ${what}`), { code: 'EIO' });
    }
  }
}

/** Our plugins, with every request to the kernel going through the fuse. */
export function fusedPlugins(fuse: Fuse): InProcessPlugins {
  return builtinPlugins(() =>
    openPluginHost({
      openRtnl() {
        const socket = new NetlinkSocket(NETLINK.ROUTE);
        return new Rtnl(fused(socket, 'rtnetlink', fuse), (groups) =>
          inNetnsOfSocket(socket.fd, () => new NetlinkSocket(NETLINK.ROUTE, groups)),
        );
      },
      openNft: () => new Nft(fused(new NetlinkSocket(NETLINK.NETFILTER), 'nf_tables', fuse)),
      openDatastore: async (settings) => fusedDatastore(await openDatastore(settings), fuse),
    }),
  );
}

function fused(socket: NetlinkSocket, name: string, fuse: Fuse): NetlinkTransport {
  return {
    send(datagram) {
      fuse.step(`${name} request ${datagram.readUInt16LE(4)}`);
      socket.send(datagram);
    },
    receiveNow: () => socket.receiveNow(),
    close: () => socket.close(),
  };
}

/** What is asked and written; as with requests to the kernel, a step that fails is not done. */
function fusedDatastore(store: Datastore, fuse: Fuse): Datastore {
  const step = async (what: string) => fuse.step(`datastore ${what}`);
  return {
    get: (key, options) => step(`get ${key}`).then(() => store.get(key, options)),
    list: (prefix, options) => step(`list ${prefix}`).then(() => store.list(prefix, options)),
    put: (key, value, options) => step(`put ${key}`).then(() => store.put(key, value, options)),
    delete: (key, options) => step(`delete ${key}`).then(() => store.delete(key, options)),
    renew: (entry, options) => store.renew(entry, options),
    watch: (prefix, options) => store.watch(prefix, options),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

const WRITES = [
  'appendFileSync',
  'chmodSync',
  'copyFileSync',
  'linkSync',
  'mkdirSync',
  'renameSync',
  'rmSync',
  'symlinkSync',
  'unlinkSync',
  'writeFileSync',
  'writeSync',
  'fsyncSync',
  'ftruncateSync',
] as const;
const STARTS = ['spawn', 'spawnSync', 'execFile', 'execFileSync'] as const;

type Functions = Record<string, (...args: unknown[]) => unknown>;

/**
 * Puts the fuse into what changes files (sysctls are files) and starts programs, for every module of the process: the
 * exports of Node.js's own modules are replaced until the end of the test.
 */
export function fuseFilesAndPrograms(fuse: Fuse): Disposable {
  const restores = [
    ...WRITES.map((name) => replace(fs as unknown as Functions, name, fuse)),
    ...STARTS.map((name) => replace(childProcess as unknown as Functions, name, fuse)),
    replaceOpen(fuse),
  ];
  syncBuiltinESMExports();
  return {
    [Symbol.dispose]() {
      for (const restore of restores) restore();
      syncBuiltinESMExports();
    },
  };
}

function replace(module: Functions, name: string, fuse: Fuse): () => void {
  const original = module[name]!;
  module[name] = (...args) => {
    fuse.step(`${name} ${typeof args[0] === 'string' ? args[0] : ''}`);
    return original(...args);
  };
  return () => {
    module[name] = original;
  };
}

/** Opening a file is a step only when it makes one. */
function replaceOpen(fuse: Fuse): () => void {
  const { openSync } = fs;
  fs.openSync = (path, flags, mode) => {
    const makes =
      typeof flags === 'number' ? (flags & fs.constants.O_CREAT) !== 0 : /[wax]/.test(flags ?? 'r');
    if (makes) fuse.step(`openSync ${path}`);
    return openSync(path, flags as fs.OpenMode, mode);
  };
  return () => {
    fs.openSync = openSync;
  };
}
