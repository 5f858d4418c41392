import type { PluginRequest } from '@amphipod/cni';
import { type Cidr, networkOf, tryParseCidr } from '@amphipod/netlink';
import { type KeyReader, readKeys } from '../lib/read-keys.ts';

/** A limit in one direction. */
export interface RateLimit {
  bytesPerSecond: number;
  burstBytes: number;
}

/** Which packets the limits are for, by the address at the other end: all but these, or only these. */
export interface ShapedSubnets {
  kind: 'all' | 'allBut' | 'only';
  subnets: Cidr[];
}

export interface BandwidthConfig {
  /** What the pod receives; undefined: unlimited. */
  ingress: RateLimit | undefined;
  /** What the pod sends. */
  egress: RateLimit | undefined;
  shaped: ShapedSubnets;
}

const rateKeys = ['ingressRate', 'ingressBurst', 'egressRate', 'egressBurst'];
const MAX_U32 = 0xffff_ffff;
/** 64 bits without a sign. */
const MAX_RATE = 2 ** 64;

/**
 * Reads the limits: those of the configuration itself when it has any such key, else those of `runtimeConfig.bandwidth`.
 * @throws CniError invalid-network-config
 */
export function readConfig({ config }: Pick<PluginRequest, 'config'>): BandwidthConfig {
  const static_ = readKeys(config);
  const dynamic = static_.object('runtimeConfig')?.object('bandwidth') ?? readKeys({});
  const isStatic = Object.keys(config).some((name) =>
    rateKeys.some((key) => key.toLowerCase() === name.toLowerCase()),
  );
  const rates = isStatic ? static_ : dynamic;
  return {
    ingress: readLimit(rates, 'ingressRate', 'ingressBurst'),
    egress: readLimit(rates, 'egressRate', 'egressBurst'),
    shaped: readSubnets(static_, dynamic),
  };
}

/** Rate and burst are in bits; what is less than a byte is cut off, as in the reference. */
function readLimit(keys: KeyReader, rateKey: string, burstKey: string): RateLimit | undefined {
  const rate = keys.integer(rateKey, 0, MAX_RATE) ?? 0;
  const burst = keys.integer(burstKey, 0, MAX_RATE) ?? 0;
  if (burst === 0 && rate !== 0) keys.refuse(rateKey, 'if rate is set, burst must also be set');
  if (rate === 0 && burst !== 0) keys.refuse(burstKey, 'if burst is set, rate must also be set');
  if (Math.trunc(burst / 8) >= MAX_U32) keys.refuse(burstKey, 'burst cannot be more than 4GB');
  if (rate === 0) return undefined;
  if (rate < 8) keys.refuse(rateKey, `invalid rate: ${rate}`);
  if (burst < 8) keys.refuse(burstKey, `invalid burst: ${burst}`);
  return { bytesPerSecond: Math.trunc(rate / 8), burstBytes: Math.trunc(burst / 8) };
}

function readSubnets(static_: KeyReader, dynamic: KeyReader): ShapedSubnets {
  const find = (key: string) => {
    const keys = dynamic.strings(key) === undefined ? static_ : dynamic;
    const texts = keys.strings(key) ?? [];
    return { texts, parse: () => texts.map((text) => readSubnet(text, keys, key)) };
  };
  const unshaped = find('unshapedSubnets');
  const shaped = find('shapedSubnets');
  if (unshaped.texts.length > 0 && shaped.texts.length > 0) {
    return static_.refuse(
      'shapedSubnets',
      'unshapedSubnets and shapedSubnets cannot be both specified, one of them should be discarded',
    );
  }
  if (unshaped.texts.length > 0) return { kind: 'allBut', subnets: unshaped.parse() };
  return { kind: shaped.texts.length > 0 ? 'only' : 'all', subnets: shaped.parse() };
}

function readSubnet(text: string, keys: KeyReader, key: string): Cidr {
  const cidr = tryParseCidr(text);
  return cidr === undefined
    ? keys.refuse(key, `bad subnet ${JSON.stringify(text)} provided, details invalid CIDR address: ${text}`)
    : networkOf(cidr);
}
