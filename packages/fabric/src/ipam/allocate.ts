import { isCode } from '@amphipod/linux';
import type { Cidr, IpAddress, IpFamily } from '@amphipod/netlink';
import { FabricError } from '../errors.ts';
import type { IpPool } from '../resources/ip-pool.ts';
import type { IpamBlock } from '../resources/ipam-block.ts';
import type { LabelRecord } from '../selector/selects.ts';
import { affinityOf, freeOrdinals, type Owner } from './block.ts';
import { choosePools, type PoolUse, selectsNode } from './choose-pools.ts';
import { claimBlock, type NodePlace } from './claim-block.ts';
import { blocksToBorrow, findBlockToClaim, listBlocks } from './find-block.ts';
import { HandleCounter } from './handle-counter.ts';
import { isInPool } from './pool-blocks.ts';
import { releaseIps } from './release.ts';
import { releaseBlock } from './release-block.ts';
import { listOwnBlocks, type OwnBlock, readSituation, type Situation } from './situation.ts';
import { type Stored, storedBlock } from './stored-object.ts';
import { takeFromBlock } from './take-from-block.ts';

/** What is wanted of one family. */
export interface FamilyWish {
  count: number;
  /** Names or networks of pools; any that selects node and namespace unless given. */
  pools?: readonly string[];
}

export interface AllocateRequest {
  owner: Owner;
  ipv4?: FamilyWish;
  ipv6?: FamilyWish;
  /** `Workload` unless given. */
  use?: PoolUse;
  /** LabelRecord of the pod's namespace. */
  namespaceLabels?: LabelRecord;
}

/** The block that a node took an address of last, for each family: it is read with all the rest. */
export type LastBlocks = Map<IpFamily, Cidr>;

/**
 * Takes addresses of this node's own blocks, else of a new block, else (without strict affinity) of a block of another node.
 * All of them, or none.
 * @throws FabricError `no-pool`, `no-free-address`; those of the datastore
 */
export async function allocate(
  place: NodePlace,
  request: AllocateRequest,
  lastBlocks: LastBlocks,
): Promise<IpAddress[]> {
  const families = ([4, 6] as const).filter((family) => wishOf(request, family).count > 0);
  // One round trip for all that has to be known.
  const [situation, ...known] = await Promise.all([
    readSituation(place, place.node),
    ...families.map((family) => readLast(place, lastBlocks.get(family))),
  ]);
  const handle = new HandleCounter(place, request.owner.handleId);
  const taken: IpAddress[] = [];
  try {
    for (const [i, family] of families.entries()) {
      const search = new Search(place, { request, family, situation, handle, taken });
      const lastBlock = await search.run(known[i]);
      if (lastBlock !== undefined) lastBlocks.set(family, lastBlock);
      else lastBlocks.delete(family);
    }
    return taken;
  } catch (error) {
    // What cannot be given back now is counted by the handle: DEL finds it.
    await releaseIps(place, taken, { handleId: request.owner.handleId }).catch(() => {});
    throw error;
  }
}

function wishOf({ ipv4, ipv6 }: AllocateRequest, family: IpFamily): FamilyWish {
  return (family === 4 ? ipv4 : ipv6) ?? { count: 0 };
}

interface KnownBlock {
  cidr: Cidr;
  stored: Stored<IpamBlock>;
}

async function readLast(place: NodePlace, cidr: Cidr | undefined): Promise<KnownBlock | undefined> {
  const stored = cidr && (await readBlock(place, cidr));
  return stored === undefined || stored === 'unreadable' ? undefined : { cidr: cidr!, stored };
}

/** A block that somebody broke gives nothing, and does not keep the others from giving. */
async function readBlock(
  place: NodePlace,
  cidr: Cidr,
): Promise<Stored<IpamBlock> | 'unreadable' | undefined> {
  try {
    return await storedBlock(place, cidr).get();
  } catch (error) {
    if (isCode(error, 'invalid-resource')) return 'unreadable';
    throw error;
  }
}

interface SearchOptions {
  request: AllocateRequest;
  family: IpFamily;
  situation: Situation;
  handle: HandleCounter;
  /** Where what is found is put. */
  taken: IpAddress[];
}

/** The search for the addresses of one family. */
class Search {
  readonly #place: NodePlace;
  readonly #options: SearchOptions;
  readonly #pools: readonly IpPool[];
  readonly #wanted: number;
  #missing: number;
  /** The own block that gave the last address. */
  #lastBlock: Cidr | undefined;

  constructor(place: NodePlace, options: SearchOptions) {
    const { request, family, situation } = options;
    const { count, pools: requested = [] } = wishOf(request, family);
    this.#place = place;
    this.#options = options;
    this.#wanted = count;
    this.#missing = count;
    this.#pools = choosePools(situation.pools, {
      family,
      use: request.use ?? 'Workload',
      nodeLabels: situation.nodeLabels,
      namespaceLabels: request.namespaceLabels ?? {},
      requested,
    });
  }

  /** @returns the block to look into first the next time */
  async run(known: KnownBlock | undefined): Promise<Cidr | undefined> {
    if (known !== undefined && this.#isUsable(known.cidr)) await this.#takeOwn(known.cidr, known.stored);
    if (this.#missing > 0) await this.#searchOn();
    return this.#lastBlock;
  }

  #isUsable(cidr: Cidr): boolean {
    return this.#pools.some((pool) => isInPool(pool, cidr));
  }

  /** Beyond the block of the last time. */
  async #searchOn(): Promise<void> {
    const { family, situation } = this.#options;
    const own = await listOwnBlocks(this.#place, this.#place.node, family);
    const usable = own.filter(({ cidr }) => this.#isUsable(cidr));
    let blockCount = await this.#searchOwn(usable);
    await this.#giveUpUnselected(own);
    while (this.#missing > 0) {
      const blocks = await listBlocks(this.#place, family);
      const search = { pools: this.#pools, situation, blocks };
      const { maxBlocksPerHost, autoAllocateBlocks, strictAffinity } = situation.config;
      if (blockCount >= maxBlocksPerHost) {
        throw this.#failure(`the node has ${blockCount} blocks, which is the limit (maxBlocksPerHost)`);
      }
      const cidr = autoAllocateBlocks ? await findBlockToClaim(this.#place, search) : undefined;
      if (cidr === undefined) {
        if (strictAffinity)
          throw this.#failure('there is no free block, and strictAffinity forbids to borrow');
        for (const lender of blocksToBorrow(this.#place, search)) await this.#take(lender, () => true);
        if (this.#missing > 0) throw this.#failure('no address is free');
      } else if (await this.#claim(cidr)) blockCount++;
    }
  }

  /** @returns how many of the blocks are the node's indeed */
  async #searchOwn(own: readonly OwnBlock[]): Promise<number> {
    const stored = await Promise.all(own.map(({ cidr }) => readBlock(this.#place, cidr)));
    let count = 0;
    for (const [i, { cidr, isConfirmed }] of own.entries()) {
      const found = stored[i];
      if (found === 'unreadable') continue;
      const isOwn = isConfirmed && found?.value.affinity === affinityOf(this.#place.node);
      // What a killed process left half-way is brought to its end; an affinity to another's block goes.
      const known = isOwn ? found : await claimBlock(this.#place, cidr);
      if (known === undefined) continue;
      count++;
      await this.#takeOwn(cidr, known);
    }
    return count;
  }

  async #claim(cidr: Cidr): Promise<boolean> {
    const claimed = await claimBlock(this.#place, cidr);
    if (claimed === undefined) return false;
    await this.#takeOwn(cidr, claimed);
    return true;
  }

  async #takeOwn(cidr: Cidr, known: Stored<IpamBlock>): Promise<void> {
    const own = affinityOf(this.#place.node);
    const before = this.#missing;
    await this.#take(cidr, ({ affinity }) => affinity === own, known);
    if (this.#missing < before) this.#lastBlock = cidr;
  }

  async #take(cidr: Cidr, isRight: (block: IpamBlock) => boolean, known?: Stored<IpamBlock>): Promise<void> {
    if (this.#missing === 0) return;
    const { request, handle, situation } = this.#options;
    const taken = await takeFromBlock(this.#place, cidr, {
      owner: request.owner,
      handle,
      config: situation.config,
      known,
      choose: (block) =>
        isRight(block) ? freeOrdinals(block, situation.isReserved).slice(0, this.#missing) : [],
    });
    this.#options.taken.push(...taken);
    this.#missing -= taken.length;
  }

  /** Empty blocks of pools that do not select this node any more. */
  async #giveUpUnselected(own: readonly OwnBlock[]): Promise<void> {
    const { pools, nodeLabels } = this.#options.situation;
    const { node } = this.#place;
    for (const { cidr } of own) {
      const pool = pools.find((one) => isInPool(one, cidr));
      if (pool === undefined || pool.spec.disabled || selectsNode(pool, nodeLabels)) continue;
      await releaseBlock(this.#place, { node, cidr }, { onlyEmpty: true });
    }
  }

  #failure(why: string): FabricError {
    const pools = this.#pools
      .map(({ metadata, spec }) => `${JSON.stringify(metadata.name)} ${spec.cidr}`)
      .join(', ');
    return new FabricError(
      'no-free-address',
      `allocate ${this.#wanted} IPv${this.#options.family} of IPPool ${pools} for node ${JSON.stringify(this.#place.node)}: ${why}`,
    );
  }
}
