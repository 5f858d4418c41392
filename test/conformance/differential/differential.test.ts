/**
 * The same lists of plugins through ours and through Debian's reference: results, caches, links, addresses, routes, rules, traffic
 * control, packet filters, sysctls and state files after ADD and after DEL. The cases are in cases/, a file for each plugin.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { type Attachment, type Cni, createCni, parseJson, parseNetworkConfigList } from '@amphipod/cni';
import { lacksLinkKind, lacksVlanFiltering } from '../lib/requirements.ts';
import { allSubjects, type Subject } from '../lib/subjects.ts';
import { World } from '../lib/world.ts';
import type { DifferentialCase } from './case.ts';
import { differences } from './differences.ts';
import { mask, observe, readSysctls } from './observe.ts';

type Parts = Record<string, unknown>;

/** Undoes what a plugin sets for the whole namespace, which all subjects share. */
function keepSysctls(): Disposable {
  const before = readSysctls();
  return {
    [Symbol.dispose]() {
      for (const [name, value] of Object.entries(readSysctls())) {
        const old = before[name];
        if (old !== undefined && old !== value) writeFileSync(join('/proc/sys', name), old);
      }
    },
  };
}

async function runCase(
  subject: Subject,
  version: string,
  { plugins, args, capabilityArgs, ifName = 'eth0', prepare }: DifferentialCase,
): Promise<Parts> {
  using _sysctls = keepSysctls();
  using world = new World();
  const netns = world.netns('pod');
  prepare?.(world, netns);
  const text = JSON.stringify({ cniVersion: version, name: 'diffnet', plugins })
    .replaceAll('"type":"host-local"', `"type":"host-local","dataDir":${JSON.stringify(world.dataDir)}`)
    .replaceAll('DATADIR', world.makeDir('state'));
  const list = parseNetworkConfigList(text);
  const cni = createCni({
    pluginDirs: subject.pluginDirs,
    cacheDir: world.dir,
    ...(subject.inProcess && { inProcess: subject.inProcess }),
  });
  const attachment: Attachment = {
    containerID: 'diffpod',
    netns,
    ifName,
    ...(args && { args: args.map(([key, value]): [string, string] => [key, value]) }),
    ...(capabilityArgs && { capabilityArgs }),
  };
  const result = await cni.addList(list, attachment);
  const cached = parseJson(readFileSync(join(world.dir, 'results', `diffnet-diffpod-${ifName}`), 'utf8'));
  const added = observe(world, netns);
  const check = await outcomeOfCheck(cni, list, attachment);
  await cni.delList(list, attachment);
  const deleted = observe(world, netns);
  const afterDel = Object.entries(deleted).map(([part, value]) => [`del:${part}`, value]);
  return mask(
    {
      result,
      cache: { ...(cached as object), config: undefined },
      ...added,
      check,
      ...Object.fromEntries(afterDel),
    },
    world,
  ) as Parts;
}

async function outcomeOfCheck(
  cni: Cni,
  list: Parameters<Cni['checkList']>[0],
  attachment: Attachment,
): Promise<string> {
  if (!hasCheck(list.cniVersion)) return 'not for this version';
  try {
    await cni.checkList(list, attachment);
    return 'good';
  } catch (error) {
    return `fails: ${(error as Error).message}`;
  }
}

/** Differences that come with many plugins; the pages of those plugins describe them. Unlike a case's own they need not occur. */
const everywhere: Record<string, string> = {
  txqlen$:
    'the reference makes veth pairs with a transmit queue of length 0, in which a classful qdisc drops everything',
  'files\\..*ipam/.*\\.mode$': 'reservations are for root only; the reference has that too since 1.2',
  'links\\..*addresses.*\\.nodad$': 'IPv6 addresses are usable when ADD returns (NET-04)',
  'sysctls\\.pod.*/(accept_dad|keep_addr_on_down)$':
    'IPv6 settings only with IPv6 addresses, which then outlive a link that goes down',
  'sysctls\\.host.*/addr_gen_mode$': 'the bridge has a link-local address that is not tentative (NET-04)',
};

/** Compares leaf by leaf; what a case says to differ must differ. */
function compare(ours: Parts, reference: Parts, differs: DifferentialCase['differs'] = {}): void {
  const lines = differences(ours, reference);
  const unused = Object.keys(differs).filter((pattern) => !lines.some((line) => matches(line, pattern)));
  assert.deepEqual(unused, [], 'said to differ, and does not');
  const patterns = [...Object.keys(differs), ...Object.keys(everywhere)];
  const left = lines.filter((line) => !patterns.some((pattern) => matches(line, pattern)));
  assert.equal(left.length, 0, `differences:\n${left.slice(0, 100).join('\n')}`);
}

/** A pattern is for the path: what comes before the first colon and blank. */
function matches(line: string, pattern: string): boolean {
  return new RegExp(pattern).test(line.slice(1, line.indexOf(': ')));
}

/** Why a case cannot run here; false when it can. */
function lacks({ needsLinkKind, needsVlanFiltering }: DifferentialCase): string | false {
  const lacksKind = needsLinkKind !== undefined && lacksLinkKind(needsLinkKind);
  return lacksKind || (needsVlanFiltering === true && lacksVlanFiltering());
}

/** CHECK came with 0.4.0. */
function hasCheck(version: string): boolean {
  return !/^0\.[123]\./.test(version);
}

async function loadCases(): Promise<Map<string, DifferentialCase[]>> {
  const dir = join(import.meta.dirname, 'cases');
  const found = new Map<string, DifferentialCase[]>();
  for (const file of readdirSync(dir).sort()) {
    const { cases } = (await import(join(dir, file))) as { cases: DifferentialCase[] };
    found.set(file.replace(/\.ts$/, ''), cases);
  }
  return found;
}

const [inProcess, ...others] = allSubjects as [Subject, ...Subject[]];
const reference = others.find(({ isOurs }) => !isOurs)!;
const executed = others.filter(({ isOurs }) => isOurs);

interface Run {
  differential: DifferentialCase;
  version: string;
  /** The plugin's first: by all of ours. The others leave out the one that starts Node.js for each call. */
  isFirst: boolean;
}

async function runVersion(context: TestContext, { differential, version, isFirst }: Run): Promise<void> {
  const ours = await runCase(inProcess, version, differential);
  if (hasCheck(version)) assert.equal(ours.check, 'good');
  if (differential.referenceLacks === undefined) {
    const theirs = await runReference(context, version, differential);
    if (theirs !== undefined) compare(ours, theirs, differential.differs);
  } else {
    context.diagnostic(`ours alone: the reference here lacks ${differential.referenceLacks}`);
  }
  for (const subject of executed) {
    if (isFirst || !subject.startsNode) compare(await runCase(subject, version, differential), ours);
  }
}

/** Undefined where this build of the reference has a known fault. */
async function runReference(
  context: TestContext,
  version: string,
  differential: DifferentialCase,
): Promise<Parts | undefined> {
  try {
    return await runCase(reference, version, differential);
  } catch (error) {
    const { message } = error as Error;
    if (!differential.referenceMayFail?.test(message)) throw error;
    context.diagnostic(`ours alone: the reference here is faulty: ${message}`);
    return undefined;
  }
}

for (const [plugin, cases] of await loadCases()) {
  describe(`${plugin}: ours and the reference do the same`, () => {
    for (const [number, differential] of cases.entries()) {
      const { name, versions = ['1.0.0'] } = differential;
      const skip = lacks(differential);
      for (const version of versions) {
        const isFirst = number === 0 && version === versions[0];
        test(`${name}, ${version}`, { skip }, (context) =>
          runVersion(context, { differential, version, isFirst }),
        );
      }
    }
  });
}
