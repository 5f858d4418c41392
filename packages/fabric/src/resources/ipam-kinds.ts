import { type Cidr, formatCidr } from '@amphipod/netlink';
import type { Entry } from '../datastore/datastore.ts';
import { affinitiesPrefix, type BlockAffinity, parseAffinity, parseAffinityKey } from './block-affinity.ts';
import { type IpamBlock, parseBlock, parseBlockKey } from './ipam-block.ts';
import { handleKey, handlesPrefix, type IpamHandle, parseHandle, parseHandleKey } from './ipam-handle.ts';
import type { Kind } from './kinds.ts';
import { apiVersion, type Resource } from './metadata.ts';
import { refusal } from './place.ts';

const BLOCKS_PREFIX = '/calico/ipam/v2/assignment/';

export type BlockAffinityResource = Resource<
  'BlockAffinity',
  BlockAffinity & { readonly node: string; readonly type: string; readonly cidr: string }
>;
export type IpamBlockResource = Resource<'IPAMBlock', IpamBlock>;
export type IpamHandleResource = Resource<'IPAMHandle', IpamHandle & { readonly handleID: string }>;

interface InternalKind<R extends Resource> {
  kind: R['kind'];
  plural: string;
  prefix: string;
  /** Of the resource with this name, where the name says it. */
  key?: (name: string) => string;
  /** Name and contents of an entry; undefined for one that is something else. */
  read(entry: Entry): { name: string; spec: R['spec'] } | undefined;
}

/** A kind that people can look at, and that only the allocator writes. */
function internalKind<R extends Resource>({ kind, plural, prefix, key, read }: InternalKind<R>): Kind<R> {
  const refuse = (): never => {
    throw new TypeError(`write ${kind}: it is the allocator's own`);
  };
  return {
    kind,
    names: [kind.toLowerCase(), plural],
    isNamespaced: false,
    isInternal: true,
    prefix: () => prefix,
    key: key ?? refuse,
    schema: {
      read: (_value, place) => {
        throw refusal(place, undefined, `only the allocator writes this kind; see "amphipod net ipam"`);
      },
    },
    decode(entry) {
      const found = read(entry);
      if (found === undefined) return undefined;
      const metadata = { name: found.name, resourceVersion: `${entry.revision}` };
      return { kind, apiVersion, metadata, spec: found.spec } as unknown as R;
    },
    encode: refuse,
  };
}

/** `10.0.0.0/26` as a part of a name: `10-0-0-0-26`. */
function cidrName(cidr: Cidr): string {
  return formatCidr(cidr).replaceAll(/[.:/]+/g, '-');
}

export const blockAffinityKind = internalKind<BlockAffinityResource>({
  kind: 'BlockAffinity',
  plural: 'blockaffinities',
  prefix: affinitiesPrefix,
  read({ key, value }) {
    const id = parseAffinityKey(key);
    if (id === undefined) return undefined;
    const { state, deleted } = parseAffinity(value, key);
    return {
      name: `${id.host}-${cidrName(id.cidr)}`,
      spec: { state, node: id.host, type: id.type, cidr: formatCidr(id.cidr), deleted },
    };
  },
});

export const ipamBlockKind = internalKind<IpamBlockResource>({
  kind: 'IPAMBlock',
  plural: 'ipamblocks',
  prefix: BLOCKS_PREFIX,
  read({ key, value }) {
    const cidr = parseBlockKey(key);
    return cidr && { name: cidrName(cidr), spec: parseBlock(value, key) };
  },
});

export const ipamHandleKind = internalKind<IpamHandleResource>({
  kind: 'IPAMHandle',
  plural: 'ipamhandles',
  prefix: handlesPrefix,
  key: handleKey,
  read({ key, value }) {
    const handleID = parseHandleKey(key);
    return handleID === undefined
      ? undefined
      : { name: handleID.toLowerCase(), spec: { handleID, ...parseHandle(value, key) } };
  },
});
