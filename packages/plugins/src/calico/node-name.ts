import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { CniError, type NetConf } from '@amphipod/cni';
import { isCode } from '@amphipod/linux';
import { readKeys } from '../lib/read-keys.ts';

const NODENAME_FILE = '/var/lib/calico/nodename';

/**
 * What the network calls this node: `nodename`, else what the file `nodename_file` says, else `hostname`, else the machine's name.
 * @throws CniError try-again-later while there is no such file, unless `nodename_file_optional` says that it is not needed
 */
export function readNodeName(config: NetConf): string {
  const keys = readKeys(config);
  const file = keys.string('nodename_file') || NODENAME_FILE;
  const given = keys.string('nodename');
  if (given) return given;
  const text = readIfThere(file);
  if (text !== undefined && text !== '') return text;
  const isOptional = keys.boolean('nodename_file_optional') ?? false;
  if (text === undefined && !isOptional) {
    throw new CniError(
      'try-again-later',
      `read ${file}: no such file: the network's agent has not written it yet`,
      {
        key: 'nodename_file',
      },
    );
  }
  return (keys.string('hostname') || hostname()).toLowerCase();
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}
