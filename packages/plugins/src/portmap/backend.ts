import { CniError } from '@amphipod/cni';
import type { IpFamily } from '@amphipod/netlink';
import type { KeyReader } from '../lib/read-keys.ts';

export type Backend = 'nftables' | 'iptables';

/** Keys that only one of the backends understands. */
export interface BackendConfig {
  backend: Backend;
  /** Named in the configuration. Else a pod may have been added by the reference, whose default is iptables. */
  isExplicit: boolean;
  /** What a connection must fulfil beside its port: arguments of iptables, or words of nft. */
  conditions: Record<IpFamily, readonly string[]>;
  /** iptables: the bit of the mark that asks for masquerading. */
  markBit: number;
  /** iptables: a chain of somebody else's that sets the mark and sees to the masquerading. */
  externalSetMarkChain: string | undefined;
}

const DEFAULT_MARK_BIT = 13;

/** As the reference decides, except that nftables is the default. @throws CniError invalid-network-config, in its words */
export function readBackend(keys: KeyReader): BackendConfig {
  const named = keys.string('backend') || undefined;
  if (named !== undefined && named !== 'nftables' && named !== 'iptables') {
    throw new CniError('invalid-network-config', `unrecognized backend ${JSON.stringify(named)}`, {
      key: 'backend',
    });
  }
  const externalSetMarkChain = keys.string('externalSetMarkChain') || undefined;
  const conditions = { 4: keys.strings('conditionsV4') ?? [], 6: keys.strings('conditionsV6') ?? [] };
  const specific: Record<Backend, string[]> = { nftables: [], iptables: [] };
  if (externalSetMarkChain !== undefined) specific.iptables.push('externalSetMarkChain');
  for (const family of [4, 6] as const) {
    const language = languageOf(conditions[family]);
    if (language !== undefined) specific[language].push(`conditionsV${family}`);
  }
  const backend = named ?? (specific.iptables.length > 0 ? 'iptables' : 'nftables');
  const wrong = backend === 'iptables' ? 'nftables' : 'iptables';
  if (specific[wrong].length > 0) {
    throw new CniError(
      'invalid-network-config',
      `${backend} backend was requested but configuration contains ${wrong}-specific options [${specific[wrong].join(' ')}]`,
      { key: specific[wrong][0]! },
    );
  }
  const isExplicit = named !== undefined || specific[backend].length > 0;
  return { backend, isExplicit, conditions, externalSetMarkChain, markBit: readMarkBit(keys) };
}

function readMarkBit(keys: KeyReader): number {
  const markBit = keys.integer('markMasqBit', -(2 ** 31), 2 ** 31);
  if (markBit !== undefined && keys.has('externalSetMarkChain')) {
    throw new CniError('invalid-network-config', 'Cannot specify externalSetMarkChain and markMasqBit', {
      key: 'markMasqBit',
    });
  }
  if (markBit !== undefined && (markBit < 0 || markBit > 31)) {
    throw new CniError('invalid-network-config', 'MasqMarkBit must be between 0 and 31', {
      key: 'markMasqBit',
    });
  }
  return markBit ?? DEFAULT_MARK_BIT;
}

/** Arguments of iptables begin with a hyphen or an exclamation mark, nft's words never do. */
function languageOf([first = '']: readonly string[]): Backend | undefined {
  if (first === '') return undefined;
  return first.startsWith('-') || first.startsWith('!') ? 'iptables' : 'nftables';
}
