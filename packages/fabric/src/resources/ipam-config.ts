import { formatGoJson } from './go-json.ts';
import { type Resource, resource } from './metadata.ts';
import { placeOf, refusal } from './place.ts';
import { flag, integer, nullable, type ObjectOf, object, oneOf, optional } from './schema.ts';
import { parseStored, storedPlace } from './stored.ts';

const MAX_BLOCKS = 1_000_000;
const MAX_COOLDOWN_SECONDS = 1_200;

/** `/calico/ipam/v2/config` */
export const ipamConfigKey = '/calico/ipam/v2/config';

const fields = {
  /** A node gives out addresses of its own blocks only; false unless given. */
  strictAffinity: nullable(flag),
  /** Blocks that a node may have; 0 and not given: 20. */
  maxBlocksPerHost: optional(integer(0, MAX_BLOCKS)),
  /** Nodes get blocks as they need them; true unless given. */
  autoAllocateBlocks: nullable(flag),
  kubeVirtVMAddressPersistence: nullable(oneOf('Enabled', 'Disabled')),
  /** A freed address is not given out again for so long. */
  ipCooldownSeconds: optional(integer(0, MAX_COOLDOWN_SECONDS)),
};

export type IpamConfigurationSpec = ObjectOf<typeof fields>;
export type IpamConfiguration = Resource<'IPAMConfiguration', IpamConfigurationSpec>;

const schema = resource('IPAMConfiguration', object(fields));

/** How addresses are given out: one object, `default`. */
export const ipamConfiguration: typeof schema = {
  read(value, place) {
    const read = schema.read(value, place);
    if (read.metadata.name === 'default') return read;
    throw refusal(placeOf(placeOf(place, 'metadata'), 'name'), read.metadata.name, 'must be "default"');
  },
};

/** What the allocator goes by. */
export interface IpamConfig {
  readonly strictAffinity: boolean;
  readonly autoAllocateBlocks: boolean;
  readonly maxBlocksPerHost: number;
  readonly ipCooldownSeconds: number;
}

const DEFAULT_BLOCKS_PER_HOST = 20;

/** The configuration of a cluster that has none. */
export const defaultIpamConfig: IpamConfig = {
  strictAffinity: false,
  autoAllocateBlocks: true,
  maxBlocksPerHost: DEFAULT_BLOCKS_PER_HOST,
  ipCooldownSeconds: 0,
};

/** In the datastore the names of the keys are older than those of the resource. */
const stored = object({
  strict_affinity: optional(flag),
  auto_allocate_blocks: optional(flag),
  maxBlocksPerHost: optional(integer(0, MAX_BLOCKS)),
  kubeVirtVMAddressPersistence: nullable(oneOf('Enabled', 'Disabled')),
  ipCooldownSeconds: optional(integer(0, MAX_COOLDOWN_SECONDS)),
});

/** @throws FabricError `invalid-resource` */
export function parseIpamConfig(json: string): IpamConfig {
  const place = storedPlace(ipamConfigKey);
  const read = stored.read(
    parseStored(place, () => JSON.parse(json)),
    place,
  );
  return {
    strictAffinity: read.strict_affinity ?? false,
    autoAllocateBlocks: read.auto_allocate_blocks ?? false,
    maxBlocksPerHost: read.maxBlocksPerHost ?? DEFAULT_BLOCKS_PER_HOST,
    ipCooldownSeconds: read.ipCooldownSeconds ?? 0,
  };
}

/** The entry as Calico writes it. */
export function formatIpamConfig(spec: IpamConfigurationSpec): string {
  return formatGoJson({
    ...(spec.strictAffinity && { strict_affinity: true }),
    ...((spec.autoAllocateBlocks ?? true) && { auto_allocate_blocks: true }),
    ...(spec.maxBlocksPerHost !== undefined && { maxBlocksPerHost: spec.maxBlocksPerHost }),
    ...(spec.kubeVirtVMAddressPersistence !== undefined && {
      kubeVirtVMAddressPersistence: spec.kubeVirtVMAddressPersistence,
    }),
    ...(spec.ipCooldownSeconds !== undefined && { ipCooldownSeconds: spec.ipCooldownSeconds }),
  });
}

/** The resource that an entry is shown as. @throws FabricError `invalid-resource` */
export function ipamConfigurationSpec(json: string): IpamConfigurationSpec {
  const { strictAffinity, autoAllocateBlocks, ipCooldownSeconds } = parseIpamConfig(json);
  const { maxBlocksPerHost, kubeVirtVMAddressPersistence } = stored.read(
    JSON.parse(json),
    storedPlace(ipamConfigKey),
  );
  return {
    strictAffinity,
    ...(maxBlocksPerHost !== undefined && { maxBlocksPerHost }),
    autoAllocateBlocks,
    ...(kubeVirtVMAddressPersistence !== undefined && { kubeVirtVMAddressPersistence }),
    ...(ipCooldownSeconds > 0 && { ipCooldownSeconds }),
  };
}
