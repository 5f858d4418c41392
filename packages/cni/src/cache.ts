import { randomBytes } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Attachment } from './attachment.ts';
import { BackgroundSync } from './background-sync.ts';
import {
  type CachedAttachment,
  type CacheEntry,
  damaged,
  decodeCacheFile,
  KIND,
  listDecoder,
} from './cache-file.ts';
import { encodeResult } from './encode-result.ts';
import { CniError } from './errors.ts';
import { stringifyJson } from './json.ts';
import type { NetworkConfigList } from './network-config.ts';
import type { AttachmentId } from './plugin.ts';
import type { Result } from './result.ts';

/** A temporary file that is older belongs to a process that was killed in the middle of a write. */
const STALE_TEMPORARY_MS = 60_000;

/**
 * The result cache of libcni (`<cacheDir>/results/<network>-<containerID>-<ifName>`), so that runtimes can take over from one
 * another. An ADD that failed and could not be cleaned up leaves a file without a result, for DEL and GC to find. Files
 * appear by rename and are synced to the disk in the background.
 */
export class ResultCache {
  readonly #dir: string;
  readonly #sync = new BackgroundSync();
  readonly #prefix = `.${process.pid}-${randomBytes(4).toString('hex')}`;
  readonly #decodeList = listDecoder();
  #isMade = false;
  #serial = 0;

  constructor(cacheDir: string) {
    this.#dir = join(cacheDir, 'results');
  }

  path(network: string, { containerID, ifName }: AttachmentId): string {
    return join(this.#dir, `${network}-${containerID}-${ifName}`);
  }

  /** @param result absent for what a failed ADD left. @throws CniError io-failure */
  write(list: NetworkConfigList, attachment: Attachment, result?: Result): void {
    const { containerID, ifName, netns, args, capabilityArgs } = attachment;
    const text = stringifyJson({
      kind: KIND,
      containerId: containerID,
      config: Buffer.from(list.bytes).toString('base64'),
      ifName,
      networkName: list.name,
      ...(netns !== '' && { netns }),
      ...(args !== undefined && args.length > 0 && { cniArgs: args }),
      ...(capabilityArgs !== undefined && { capabilityArgs }),
      ...(result !== undefined && { result: encodeResult(result, list.cniVersion) }),
    });
    this.#replace(this.path(list.name, attachment), text);
  }

  #replace(path: string, text: string): void {
    const temporary = join(this.#dir, `${this.#prefix}-${this.#serial++}.tmp`);
    try {
      if (!this.#isMade) mkdirSync(this.#dir, { recursive: true, mode: 0o700 });
      this.#isMade = true;
      writeFileSync(temporary, text, { mode: 0o600 });
      renameSync(temporary, path);
    } catch (cause) {
      this.#isMade = false;
      removeQuietly(temporary);
      const why = (cause as Error).message;
      throw new CniError('io-failure', `write cache file ${JSON.stringify(path)}: ${why}`, { cause });
    }
    this.#sync.add(path);
  }

  /** Undefined when there is no file. @throws CniError decoding-failure for a damaged file, or that of another attachment */
  read(network: string, attachment: AttachmentId): CacheEntry | undefined {
    const path = this.path(network, attachment);
    // Asked first, as a thrown ENOENT costs more than all the rest.
    if (!existsSync(path)) return undefined;
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch (cause) {
      throw damaged(path, (cause as Error).message, cause);
    }
    const entry = decodeCacheFile(path, text, this.#decodeList);
    if (entry.attachment === undefined) {
      return {
        attachment: { ...attachment, netns: '', network },
        list: undefined,
        rawResult: entry.rawResult,
      };
    }
    const found = entry.attachment;
    const isIt =
      found.network === network &&
      found.containerID === attachment.containerID &&
      found.ifName === attachment.ifName;
    if (!isIt) {
      throw damaged(path, `it is that of container ${found.containerID}, interface ${found.ifName}`);
    }
    return { ...entry, attachment: found };
  }

  /** @throws CniError io-failure */
  remove(network: string, attachment: AttachmentId): void {
    const path = this.path(network, attachment);
    this.#sync.forget(path);
    try {
      unlinkSync(path);
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      if (code === 'ENOENT') return;
      // Something made it a directory.
      if (code === 'EISDIR' || code === 'EPERM') rmSync(path, { force: true, recursive: true });
      else {
        const why = (cause as Error).message;
        throw new CniError('io-failure', `remove cache file ${JSON.stringify(path)}: ${why}`, { cause });
      }
    }
  }

  /**
   * Every attachment with a readable file, with the list that it was made with. Names may hold `-`, so only the content
   * counts. @throws CniError io-failure
   */
  list(containerID?: string): (CachedAttachment & { list: NetworkConfigList | undefined })[] {
    return this.#names()
      .filter((name) => !name.startsWith('.'))
      .flatMap((name) => this.#readQuietly(join(this.#dir, name)))
      .filter((attachment) => (containerID ?? attachment.containerID) === attachment.containerID);
  }

  #readQuietly(path: string): (CachedAttachment & { list: NetworkConfigList | undefined })[] {
    try {
      const { attachment, list } = decodeCacheFile(path, readFileSync(path, 'utf8'), this.#decodeList);
      return attachment === undefined ? [] : [{ ...attachment, list }];
    } catch {
      return [];
    }
  }

  /** Takes away what processes left that were killed while they wrote. */
  removeStaleTemporaries(): void {
    for (const name of this.#names()) {
      const [, writer] = /^\.(\d+)-.*\.tmp$/.exec(name) ?? [];
      if (writer === undefined) continue;
      const path = join(this.#dir, name);
      if (!isRunning(Number(writer)) || isOld(path)) rmSync(path, { force: true });
    }
  }

  /** Resolves when everything that was written is on the disk. */
  async synced(): Promise<void> {
    await this.#sync.done();
  }

  #names(): string[] {
    try {
      return readdirSync(this.#dir).sort();
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
      const why = (cause as Error).message;
      throw new CniError('io-failure', `read cache directory ${JSON.stringify(this.#dir)}: ${why}`, {
        cause,
      });
    }
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Another process may have the writer's pid by now. */
function isOld(path: string): boolean {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats !== undefined && Date.now() - stats.mtimeMs > STALE_TEMPORARY_MS;
}

function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // What keeps it from being written keeps it from being there.
  }
}
