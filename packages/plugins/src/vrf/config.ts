import { CniError, type PluginRequest } from '@amphipod/cni';
import { readKeys } from '../lib/read-keys.ts';

export interface VrfConfig {
  vrfName: string;
  /** Undefined: that of the VRF if it is there, else a free one. */
  table: number | undefined;
}

/** IFNAMSIZ without the closing zero. */
const NAME_BYTES = 15;
const MAX_TABLE = 2 ** 32 - 1;

/** @throws CniError invalid-network-config */
export function readConfig({ config }: Pick<PluginRequest, 'config'>): VrfConfig {
  const keys = readKeys(config);
  const vrfName = keys.string('vrfname') ?? '';
  if (vrfName === '') {
    throw new CniError('invalid-network-config', 'configuration is expected to have a valid vrf name', {
      key: 'vrfname',
    });
  }
  if (Buffer.byteLength(vrfName) > NAME_BYTES) {
    keys.fail('vrfname', `a name of at most ${NAME_BYTES} bytes`);
  }
  const table = keys.integer('table', 0, MAX_TABLE) ?? 0;
  return { vrfName, table: table === 0 ? undefined : table };
}

/** The name alone, for DEL, which succeeds whatever is wrong. */
export function findVrfName(request: Pick<PluginRequest, 'config'>): string | undefined {
  try {
    return readConfig(request).vrfName;
  } catch {
    return undefined;
  }
}
