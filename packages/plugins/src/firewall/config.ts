import { CniError, isJsonObject, type PluginRequest } from '@amphipod/cni';
import { keyFinder, readKeys } from '../lib/read-keys.ts';

export type FirewallBackend = 'iptables' | 'nftables' | 'firewalld';
export type IngressPolicy = 'open' | 'same-bridge' | 'isolated';

export interface FirewallConfig {
  /** Undefined: firewalld when it runs, else what the machine's iptables is. */
  backend: FirewallBackend | undefined;
  /** The administrator's chain, asked before the rules of pods. */
  adminChain: string;
  zone: string;
  ingressPolicy: IngressPolicy;
}

const backends: readonly string[] = ['iptables', 'nftables', 'firewalld'];
/** What iptables takes as a chain's name. */
const chainName = /^[^\s!"'\\-][^\s"'\\]{0,27}$/;

/** @throws CniError invalid-network-config */
export function readConfig({ config }: Pick<PluginRequest, 'config'>): FirewallConfig {
  const keys = readKeys(config);
  const backend = keys.string('backend') || undefined;
  if (backend !== undefined && !backends.includes(backend)) {
    keys.fail('backend', '"iptables", "nftables" or "firewalld"');
  }
  const adminChain = keys.string('iptablesAdminChainName') || 'CNI-ADMIN';
  if (!chainName.test(adminChain)) keys.fail('iptablesAdminChainName', 'a chain name of up to 28 characters');
  const ingressPolicy = keys.string('ingressPolicy') || 'open';
  if (!isIngressPolicy(ingressPolicy)) {
    throw new CniError('invalid-network-config', `unknown ingress policy: ${JSON.stringify(ingressPolicy)}`, {
      key: 'ingressPolicy',
    });
  }
  return {
    backend: backend as FirewallBackend | undefined,
    adminChain,
    zone: keys.string('firewalldZone') || 'trusted',
    ingressPolicy,
  };
}

function isIngressPolicy(text: string): text is IngressPolicy {
  return text === 'open' || text === 'same-bridge' || text === 'isolated';
}

/** What DEL and GC need; never fails, and takes a value that ADD refuses for none. */
export function findConfig({
  config,
}: Pick<PluginRequest, 'config'>): Pick<FirewallConfig, 'backend' | 'zone'> {
  const find = keyFinder(isJsonObject(config) ? config : {});
  const firewalldZone = find('firewalldZone');
  return {
    backend: backends.find((name) => name === find('backend')) as FirewallBackend | undefined,
    zone: typeof firewalldZone === 'string' && firewalldZone !== '' ? firewalldZone : 'trusted',
  };
}
