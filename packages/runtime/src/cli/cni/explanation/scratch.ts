// A program of its own: makes an attachment in namespaces that nobody sees, and tells what it changed. It is started in new
// network and mount namespaces (explain-network.ts); stdin is a ScratchRequest, stdout a ScratchAnswer.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createCni, encodeResult, parseJson, parseNetworkConfigList, stringifyJson } from '@amphipod/cni';
import { createPinnedNamespaces, inNetns, sysctlSet } from '@amphipod/linux';
import { builtinPlugins } from '@amphipod/plugins';
import { type Change, compareItems, compareSysctls } from './compare.ts';
import { replaceDhcp } from './replace-dhcp.ts';
import {
  fillCopies,
  protectMachine,
  redirectState,
  type ScratchCopy,
  scratchDir,
} from './scratch-directories.ts';
import type { ScratchAnswer, ScratchRequest } from './scratch-request.ts';
import { type Item, readFiles, readNetwork, readSysctls, runIn } from './snapshot.ts';
import { makeStandIns } from './stand-ins.ts';

const podPath = join(scratchDir, 'pod');

interface Look {
  host: Item[];
  pod: Item[];
  files: Item[];
  hostSysctls: Map<string, string>;
  podSysctls: Map<string, string>;
}

function look(copies: readonly ScratchCopy[]): Look {
  return {
    host: readNetwork(runIn()),
    pod: readNetwork(runIn(podPath)),
    files: copies.flatMap(({ original, copy }) => readFiles(copy, original)),
    hostSysctls: readSysctls(),
    podSysctls: inNetns(podPath, readSysctls),
  };
}

function compare(before: Look, after: Look): Change[] {
  return [
    ...compareItems('host', before.host, after.host),
    ...compareSysctls('host', before.hostSysctls, after.hostSysctls),
    ...compareItems('host', before.files, after.files),
    ...compareItems('pod', before.pod, after.pod),
    ...compareSysctls('pod', before.podSysctls, after.podSysctls),
  ];
}

async function answer(request: ScratchRequest): Promise<ScratchAnswer> {
  const { list: withoutDhcp, notes: dhcpNotes } = replaceDhcp(
    parseJson(request.list) as Record<string, unknown>,
  );
  const { list: redirected, copies } = redirectState(withoutDhcp);
  protectMachine();
  fillCopies(copies);
  const run = runIn();
  run('ip', 'link', 'set', 'lo', 'up');
  for (const [key, value] of Object.entries(request.sysctls)) sysctlSet(key, value);
  const notes = [...dhcpNotes, ...makeStandIns(run, request)];
  createPinnedNamespaces({ net: podPath });
  if (run('nft', 'list', 'tables') === undefined) notes.push('nft is not installed: rules are not shown');
  if (run('tc', 'qdisc', 'show') === undefined) notes.push('tc is not installed: queueing is not shown');

  const before = look(copies);
  const list = parseNetworkConfigList(stringifyJson(redirected));
  const { pluginDirs, args, capabilityArgs, ifName } = request;
  const cni = createCni({ pluginDirs, cacheDir: join(scratchDir, 'cache'), inProcess: builtinPlugins() });
  try {
    const attachment = { containerID: 'explain', netns: podPath, ifName, args, capabilityArgs };
    const result = encodeResult(await cni.addList(list, attachment), list.cniVersion);
    return { result, error: undefined, changes: compare(before, look(copies)), notes };
  } catch (error) {
    return {
      result: undefined,
      error: (error as Error).message,
      changes: compare(before, look(copies)),
      notes,
    };
  }
}

const request = JSON.parse(readFileSync(0, 'utf8')) as ScratchRequest;
process.stdout.write(JSON.stringify(await answer(request)));
