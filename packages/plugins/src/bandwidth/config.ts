import { CniError, isJsonObject, isRawNumber, type JsonObject, type PluginRequest } from '@amphipod/cni';
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
  const own = wholeNumbers(config);
  const runtimeConfig = isJsonObject(config.runtimeConfig) ? config.runtimeConfig : {};
  readKeys(config).object('runtimeConfig');
  readKeys(runtimeConfig, 'runtimeConfig.').object('bandwidth');
  const fromRuntime = isJsonObject(runtimeConfig.bandwidth) ? wholeNumbers(runtimeConfig.bandwidth) : {};
  const static_ = readKeys(own);
  const dynamic = readKeys(fromRuntime, 'runtimeConfig.bandwidth.');
  const isStatic = Object.keys(own).some((name) =>
    rateKeys.some((key) => key.toLowerCase() === name.toLowerCase()),
  );
  const rates = isStatic ? static_ : dynamic;
  return {
    ingress: readLimit(rates, 'ingressRate', 'ingressBurst'),
    egress: readLimit(rates, 'egressRate', 'egressBurst'),
    shaped: readSubnets(static_, dynamic),
  };
}

/** Numbers too large to be exact are exact enough here. */
function wholeNumbers(object: JsonObject): JsonObject {
  return Object.fromEntries(
    Object.entries(object).map(([key, value]) => [
      key,
      isRawNumber(value) && /^\d+$/.test(value.rawJSON) ? Number(value.rawJSON) : value,
    ]),
  );
}

/** Rate and burst are in bits; what is less than a byte is cut off, as in the reference. */
function readLimit(keys: KeyReader, rateKey: string, burstKey: string): RateLimit | undefined {
  const rate = keys.integer(rateKey, 0, MAX_RATE) ?? 0;
  const burst = keys.integer(burstKey, 0, MAX_RATE) ?? 0;
  if (burst === 0 && rate !== 0) throw invalid('if rate is set, burst must also be set');
  if (rate === 0 && burst !== 0) throw invalid('if burst is set, rate must also be set');
  if (Math.trunc(burst / 8) >= MAX_U32) throw invalid('burst cannot be more than 4GB');
  if (rate === 0) return undefined;
  if (rate < 8) throw invalid(`invalid rate: ${rate}`);
  if (burst < 8) throw invalid(`invalid burst: ${burst}`);
  return { bytesPerSecond: Math.trunc(rate / 8), burstBytes: Math.trunc(burst / 8) };
}

function readSubnets(static_: KeyReader, dynamic: KeyReader): ShapedSubnets {
  const unshaped = dynamic.strings('unshapedSubnets') ?? static_.strings('unshapedSubnets') ?? [];
  const shaped = dynamic.strings('shapedSubnets') ?? static_.strings('shapedSubnets') ?? [];
  if (unshaped.length > 0 && shaped.length > 0) {
    throw invalid(
      'unshapedSubnets and shapedSubnets cannot be both specified, one of them should be discarded',
    );
  }
  if (unshaped.length > 0) return { kind: 'allBut', subnets: unshaped.map(readSubnet) };
  return { kind: shaped.length > 0 ? 'only' : 'all', subnets: shaped.map(readSubnet) };
}

function readSubnet(text: string): Cidr {
  const cidr = tryParseCidr(text);
  if (cidr === undefined) {
    throw invalid(`bad subnet ${JSON.stringify(text)} provided, details invalid CIDR address: ${text}`);
  }
  return networkOf(cidr);
}

function invalid(message: string): CniError {
  return new CniError('invalid-network-config', message);
}
