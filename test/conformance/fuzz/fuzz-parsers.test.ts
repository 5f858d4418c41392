/**
 * Generated configurations, results, cache files and arguments through the library: never a crash, never a hang, always a value
 * or an error with a number of the specification. AMPHIPOD_FUZZ_RUNS=1000000 for more than the usual number of cases,
 * AMPHIPOD_FUZZ_SEED=N to repeat a failure.
 */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  createCni,
  decodeResult,
  encodeResult,
  parseArgs,
  parseJson,
  parseNetworkConfig,
  parseNetworkConfigList,
  specVersions,
  stringifyJson,
} from '@amphipod/cni';
import { asNobody, assertCniError, fuzz } from './harness.ts';
import { type Json, mutate, textOf } from './mutate.ts';
import type { Random } from './random.ts';
import { keysOfSources, prevResult, seedLists } from './seeds.ts';

const nobody = asNobody();
const vocabulary = keysOfSources();
const lists = await seedLists();
const listKeys = {
  cniVersions: ['0.4.0', '1.1.0'],
  disableCheck: 'true',
  disableGC: false,
  loadOnlyInlinedPlugins: true,
};

function valueOrError<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    assertCniError(error);
    return undefined;
  }
}

function generatedText(seeds: readonly Json[], random: Random): string {
  return textOf(mutate(random.pick(seeds), random, vocabulary), random);
}

const listSeeds = lists.flatMap((list): Json[] => [list, { ...list, ...listKeys }]);

fuzz('configuration lists', 0.22, (random, note) => {
  const text = generatedText(listSeeds, random);
  note(text);
  const list = valueOrError(() => parseNetworkConfigList(text, { file: '/etc/cni/net.d/x.conflist' }));
  if (list === undefined) return;
  assert.ok(list.plugins.length > 0 && list.name !== '');
  const again = parseNetworkConfigList(
    stringifyJson({ ...(parseJson(text) as object), plugins: list.plugins }),
  );
  assert.equal(stringifyJson(again.plugins), stringifyJson(list.plugins));
});

const single = { cniVersion: '1.1.0', name: 'n', type: 'bridge', capabilities: { mac: true }, mtu: 1500 };

fuzz('single configurations', 0.03, (random, note) => {
  const text = generatedText([single], random);
  note(text);
  const list = valueOrError(() => parseNetworkConfig(text));
  if (list !== undefined) assert.equal(list.plugins.length, 1);
});

const { interfaces: _interfaces, ips: _ips, routes: _routes, ...rest } = prevResult;
const oldResult = {
  ...rest,
  cniVersion: '0.2.0',
  ip4: { ip: '10.1.2.3/24', gateway: '10.1.2.1', routes: [{ dst: '0.0.0.0/0', gw: '10.1.2.1' }] },
  ip6: { ip: 'fd00::3/64' },
};
const resultSeeds = [prevResult, { ...prevResult, cniVersion: '0.4.0' }, oldResult];

fuzz('results', 0.3, (random, note) => {
  const text = generatedText(resultSeeds, random);
  note(text);
  let value: unknown;
  try {
    value = parseJson(text);
  } catch (error) {
    assert.match((error as Error).name, /^(SyntaxError|RangeError)$/);
    return;
  }
  const result = valueOrError(() => decodeResult(value, random.pick([...specVersions, '', '7'])));
  if (result === undefined) return;
  for (const version of specVersions) {
    const encoded = valueOrError((): object => encodeResult(result, version));
    if (encoded === undefined) continue;
    const again = encodeResult(decodeResult(encoded, ''), version);
    assert.deepEqual(again, encoded, version);
  }
});

const entry = {
  kind: 'cniCacheV1',
  containerId: 'c1',
  config: Buffer.from(JSON.stringify(lists[0])).toString('base64'),
  ifName: 'eth0',
  networkName: 'fuzz',
  netns: '/run/netns/x',
  cniArgs: [['IgnoreUnknown', '1']],
  capabilityArgs: { portMappings: [{ hostPort: 8080 }] },
  result: prevResult,
};
const attachment = { containerID: 'c1', ifName: 'eth0' };

fuzz('cache files', 0.02, (random, note) => {
  const path = join(nobody.dir, 'cache', 'results', 'fuzz-c1-eth0');
  const text = generatedText([entry, prevResult], random);
  note(text);
  writeFileSync(path, text);
  try {
    const cni = createCni({ pluginDirs: [], cacheDir: join(nobody.dir, 'cache') });
    valueOrError(() => cni.cachedResult('fuzz', attachment));
    const config = cni.cachedConfig('fuzz', attachment);
    assert.ok(config === undefined || config.plugins.length > 0);
    assert.ok(cni.cachedAttachments().length <= 1);
  } finally {
    rmSync(path);
  }
});

const argSeeds = ['IgnoreUnknown=1;K8S_POD_NAME=web-0;IP=10.1.2.3;MAC=02:00:00:00:00:01', 'IP=fd00::1', ''];

fuzz('CNI_ARGS', 0.17, (random, note) => {
  const text = textOf(mutate(random.pick(argSeeds), random, vocabulary), random).replaceAll('"', '');
  note(text);
  const args = valueOrError(() => parseArgs(text, ['IP', 'MAC', '__proto__']));
  if (args !== undefined) for (const value of Object.values(args)) assert.equal(typeof value, 'string');
});
