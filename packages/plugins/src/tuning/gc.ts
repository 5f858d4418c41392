import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { PluginRequest } from '@amphipod/cni';
import { isCode } from '@amphipod/linux';
import { Attempts } from '../lib/attempts.ts';
import { isStaleTag } from '../lib/owner.ts';
import { readBackup, removeBackup } from './backup.ts';
import { readDataDir } from './config.ts';

/** Removes the kept settings of attachments that are no longer valid. Files of the reference do not say whose they are and stay. */
export async function gc(request: PluginRequest): Promise<void> {
  const { config, validAttachments = [] } = request;
  const dataDir = readDataDir(request);
  const attempts = new Attempts();
  for (const name of listFiles(dataDir)) {
    if (!name.endsWith('.json')) continue;
    const path = join(dataDir, name);
    await attempts.run(() => {
      if (isStaleTag(readBackup(path)?.owner, config.name, validAttachments)) removeBackup(path);
    });
  }
  attempts.throwIfAny();
}

function listFiles(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch (error) {
    if (isCode(error, 'ENOENT')) return [];
    throw error;
  }
}
