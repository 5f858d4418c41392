import { isCode } from '@amphipod/linux';
import {
  type Nft,
  type NftElement,
  type NftMap,
  type NftOp,
  type NftRule,
  type NftSet,
  nftGeneration,
  nftListChains,
  nftListElements,
  nftListRules,
  nftListTables,
  nftTransaction,
} from '@amphipod/netlink';
import type { PolicyEngine, WantedRules } from '../engine/engine.ts';
import { dispatchMap, ipFamilies, policyTable, selfSet, type TableOptions } from '../engine/policy-table.ts';
import { changeOps, tableOps } from '../engine/rule-ops.ts';
import { elementText } from './element-text.ts';

/** What the kernel had when we wrote it last; nothing else counts as right. */
interface Written {
  table: bigint | undefined;
  /** Handles of each chain's rules, in order: the kernel gives no handle twice. */
  handles: Map<string, bigint[]>;
  /** Of the ruleset; undefined when somebody else may have changed something meanwhile. */
  generation: number | undefined;
}

/**
 * Keeps the table of network policy in the network namespace of the connection as the engine wants it. Changes are applied by
 * the smallest transaction; a table that is not as it was left is written anew, in one transaction as well. Other tables are
 * never touched.
 */
export class RulesInKernel {
  readonly #conn: Nft;
  readonly #engine: PolicyEngine;
  readonly #options: TableOptions;
  #written: Written | undefined;
  #looks = 0;

  constructor({ conn, engine, ...options }: { conn: Nft; engine: PolicyEngine } & TableOptions) {
    this.#conn = conn;
    this.#engine = engine;
    this.#options = options;
  }

  /** How many times somebody else may have changed the table. */
  get looks(): number {
    return this.#looks;
  }

  /** Applies what has changed since the last call; the first call writes everything. Gives the number of steps. @throws NetlinkError */
  apply(): number {
    const ops = changeOps(this.#engine.takeChanges());
    if (this.#written === undefined) return this.#writeAll();
    if (ops.length === 0) return 0;
    const written = this.#written;
    // Until it is known to have worked, what the kernel has is not known.
    this.#written = undefined;
    try {
      const before = nftGeneration(this.#conn);
      const rules = nftTransaction(this.#conn, ops, { wantsRules: true });
      forget(written, ops);
      remember(written, rules);
      this.#written = written;
      const after = nftGeneration(this.#conn);
      const isOurs = before === written.generation && after === before + 1;
      written.generation = isOurs ? after : undefined;
    } catch (error) {
      // Somebody has taken something away that this rests on.
      if (!['ENOENT', 'EEXIST', 'EBUSY', 'EINVAL'].some((code) => isCode(error, code))) throw error;
      return this.#writeAll();
    }
    return ops.length;
  }

  /**
   * Looks whether somebody else has changed our table, and writes it anew if so. Costs one message as long as nobody has
   * changed any table of the namespace. What could not be written before is tried again.
   * @returns whether there was something to mend. @throws NetlinkError
   */
  mend(): boolean {
    if (this.#written === undefined) {
      this.apply();
      this.#looks++;
      return false;
    }
    const generation = nftGeneration(this.#conn);
    if (generation === this.#written.generation) return false;
    this.#looks++;
    // After many additions the kernel may pass over elements once.
    if (this.#isAsWritten(this.#written) || this.#isAsWritten(this.#written)) {
      this.#written.generation = generation;
      return false;
    }
    this.#writeAll();
    return true;
  }

  /** `nft delete table inet amphipod_policy`, if it is there. */
  remove(): void {
    this.#written = undefined;
    nftTransaction(this.#conn, [
      { op: 'add', object: 'table', ...policyTable },
      { op: 'delete', object: 'table', ...policyTable },
    ]);
  }

  #writeAll(): number {
    this.#written = undefined;
    const ops = tableOps(this.#engine.wanted(), this.#options);
    const generation = nftGeneration(this.#conn);
    const rules = nftTransaction(this.#conn, ops, { wantsRules: true });
    const written: Written = { table: this.#tableHandle(), handles: new Map(), generation: undefined };
    remember(written, rules);
    const after = nftGeneration(this.#conn);
    if (after === generation + 1) written.generation = after;
    this.#written = written;
    return ops.length;
  }

  #tableHandle(): bigint | undefined {
    const tables = nftListTables(this.#conn, policyTable.family);
    return tables.find(({ table, isDormant }) => table === policyTable.table && isDormant !== true)?.handle;
  }

  #isAsWritten({ table, handles }: Written): boolean {
    try {
      if (this.#tableHandle() !== table) return false;
      const chains = nftListChains(this.#conn, policyTable);
      if (chains.length !== handles.size || chains.some(({ chain }) => !handles.has(chain))) return false;
      const there = Map.groupBy(nftListRules(this.#conn, policyTable), ({ chain }) => chain);
      for (const [chain, wanted] of handles) {
        const rules = there.get(chain) ?? [];
        if (rules.length !== wanted.length || rules.some(({ handle }, index) => handle !== wanted[index]))
          return false;
      }
      return this.#areElementsAsWanted(this.#engine.wanted());
    } catch (error) {
      if (isCode(error, 'ENOENT')) return false;
      throw error;
    }
  }

  #areElementsAsWanted({ sets, dispatch, own }: WantedRules): boolean {
    const isRight = (set: NftSet | NftMap, wanted: readonly NftElement[]) => {
      const there = new Set(nftListElements(this.#conn, set).map(elementText));
      return there.size === wanted.length && wanted.every((element) => there.has(elementText(element)));
    };
    const families = ipFamilies.flatMap((family) => {
      const ips = own.filter((ip) => ip.family === family);
      const ways = (['egress', 'ingress'] as const).map((direction) => {
        const entries = dispatch.filter(
          (entry) => entry.direction === direction && entry.ip.family === family,
        );
        const elements = entries.map(({ ip, chain }) => ({
          key: [ip],
          verdict: { verdict: 'jump', chain } as const,
        }));
        return { set: dispatchMap(direction, family), elements };
      });
      return [{ set: selfSet(family), elements: ips.map((ip) => ({ key: [ip, ip] })) }, ...ways];
    });
    return (
      sets.every(({ set, added }) => isRight(set, added)) &&
      families.every(({ set, elements }) => isRight(set, elements))
    );
  }
}

function remember({ handles }: Written, rules: readonly NftRule[]): void {
  for (const { chain, handle } of rules) {
    const list = handles.get(chain);
    if (list === undefined) handles.set(chain, [handle]);
    else list.push(handle);
  }
}

function forget({ handles }: Written, ops: readonly NftOp[]): void {
  for (const op of ops) if (op.op === 'delete' && op.object === 'chain') handles.delete(op.chain);
}
