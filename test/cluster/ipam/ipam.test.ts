// Sixteen processes that claim addresses at once over a real etcd, and are killed at any moment.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  type AddressUse,
  createResource,
  type Datastore,
  findMistakes,
  observe,
  openEtcdDatastore,
  repair,
} from '@amphipod/fabric';
import { formatIp, ipPlus, parseCidr } from '@amphipod/netlink';
import { startEtcd } from '../etcd-server.ts';
import { countOf, readHeld } from './journal.ts';

const WORKERS = 16;
/** The number is 100000; it takes minutes. */
const OPERATIONS = Number(process.env.AMPHIPOD_IPAM_OPERATIONS ?? 1_600);
const SHARE = OPERATIONS / WORKERS;
/** A worker is killed after this many operations of its own, at the most. */
const OPERATIONS_PER_LIFE = Math.min(SHARE, 1_500);
const REPAIRS = 5;
const running = new Set<ChildProcess>();
/** Two workers of each node, so that they are in each other's way. */
const nodeOf = (worker: number) => `n${worker >> 1}`;

test(`no address twice and no leak: ${WORKERS} processes, ${OPERATIONS} operations`, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'ipam-test-'));
  try {
    await using etcd = await startEtcd();
    await using store = openEtcdDatastore({ endpoints: etcd.endpoints });
    await createResource(store, {
      kind: 'IPPool',
      apiVersion: 'projectcalico.org/v3',
      metadata: { name: 'pool' },
      spec: { cidr: '10.0.0.0/23', blockSize: 28 },
    });
    const journals = Array.from({ length: WORKERS }, (_, i) => join(directory, `${i}.journal`));
    const kills = await Promise.all(
      journals.map((_journal, i) => runWorker(etcd.endpoints[0]!, i, directory)),
    );
    const use = readUse(journals);
    const first = findMistakes(await observe({ store }), { use });
    const left = await mendAll(store, use);
    assert.deepEqual(left, []);
    const seen = await observe({ store });
    assert.deepEqual(allocatedIn(seen), [...use.keys()].toSorted());
    console.log(
      `${kills.reduce((sum, count) => sum + count, 0)} kills, ${first.length} mistakes found and mended, ${use.size} addresses in use`,
    );
    assert.ok(kills.every((count) => count > 0));
  } finally {
    for (const child of running) child.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  }
});

/** Keeps a worker going until it has done its share; each life but the last ends by SIGKILL. */
async function runWorker(endpoint: string, worker: number, directory: string): Promise<number> {
  const journal = join(directory, `${worker}.journal`);
  let kills = 0;
  for (let done = 0; done < SHARE; done = countOf(journal)) {
    const child = startWorker(endpoint, worker, { directory, operations: SHARE - done });
    running.add(child);
    const exited = once(child, 'exit');
    const until = done + 1 + Math.floor(Math.random() * OPERATIONS_PER_LIFE);
    while (child.exitCode === null && countOf(journal) < until) {
      await Promise.race([exited, new Promise((resolve) => setTimeout(resolve, Math.random() * 20))]);
    }
    if (child.exitCode === null && until < SHARE) {
      child.kill('SIGKILL');
      kills++;
    }
    const [code, signal] = (await exited) as [number | null, string | null];
    running.delete(child);
    if (signal === null) assert.equal(code, 0, `worker ${worker} fails`);
  }
  return kills;
}

function startWorker(
  endpoint: string,
  worker: number,
  { directory, operations }: { directory: string; operations: number },
): ChildProcess {
  const file = new URL('worker.ts', import.meta.url).pathname;
  const args = [file, endpoint, nodeOf(worker), directory, `${worker}`, `${operations}`];
  return spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] });
}

/** What the workers hold, as they wrote it down. */
function readUse(journals: readonly string[]): AddressUse {
  const use = new Map<string, string[]>();
  for (const [handleId, ip] of readHeld(journals)) use.set(ip, [...(use.get(ip) ?? []), handleId]);
  return use;
}

/** @returns what is left */
async function mendAll(store: Datastore, use: AddressUse): Promise<readonly string[]> {
  let left: readonly string[] = ['not looked at yet'];
  for (let i = 0; i < REPAIRS && left.length > 0; i++) {
    await repair({ store }, { use: async () => use, settleMs: 0 });
    left = findMistakes(await observe({ store }), { use }).map(({ text }) => text);
  }
  return left;
}

function allocatedIn({ blocks }: Awaited<ReturnType<typeof observe>>): string[] {
  return [...blocks.values()]
    .flatMap(({ value }) =>
      value.allocations.flatMap((index, ordinal) =>
        index === null ? [] : [formatIp(ipPlus(parseCidr(value.cidr).ip, BigInt(ordinal))!)],
      ),
    )
    .toSorted();
}
