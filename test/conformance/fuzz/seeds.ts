import { globSync, readdirSync, readFileSync } from 'node:fs';
import { pluginBinDir } from '@amphipod/plugins';
import type { DifferentialCase } from '../differential/case.ts';
import type { Json } from './mutate.ts';

type JsonRecord = { [key: string]: Json };

/** Types of all plugins of this project. */
export const pluginTypes = readdirSync(pluginBinDir).sort();

const root = new URL('../../../', import.meta.url).pathname;

/** Configuration lists that are right: those of the plugins' pages, and those of the comparison with the reference. */
export async function seedLists(): Promise<JsonRecord[]> {
  return [...listsOfPages(), ...(await listsOfCases())];
}

function listsOfPages(): JsonRecord[] {
  return globSync(`${root}docs/plugins/*.md`)
    .flatMap((file) => [...readFileSync(file, 'utf8').matchAll(/```json\n(.*?)```/gs)])
    .flatMap(([, text]) => {
      const value = JSON.parse(text!) as JsonRecord;
      return Array.isArray(value.plugins) ? [value] : [];
    });
}

async function listsOfCases(): Promise<JsonRecord[]> {
  const files = globSync(`${root}test/conformance/differential/cases/*.ts`);
  const modules = await Promise.all(
    files.map(async (file) => (await import(file)) as { cases: DifferentialCase[] }),
  );
  return modules
    .flatMap(({ cases }) => cases)
    .map(({ plugins }) => ({
      cniVersion: '1.1.0',
      name: 'fuzz',
      plugins: plugins as unknown as JsonRecord[],
    }));
}

/** One configuration for every plugin of every list, as a runtime would pass it; bare ones for types that no list has. */
export function pluginConfigs(lists: readonly JsonRecord[]): Map<string, JsonRecord[]> {
  const configs = new Map<string, JsonRecord[]>(
    pluginTypes.map((type) => [type, [{ cniVersion: '1.1.0', name: 'fuzz', type, ipam: { type } }]]),
  );
  for (const { plugins, cniVersion = '1.1.0' } of lists) {
    for (const plugin of plugins as JsonRecord[]) {
      const more = { cniVersion, name: 'fuzz', prevResult, runtimeConfig };
      configs.get(plugin.type as string)?.push({ ...plugin, ...more });
      const ipam = plugin.ipam as JsonRecord | undefined;
      if (ipam !== undefined) configs.get(ipam.type as string)?.push({ ...plugin, ...more });
    }
  }
  return configs;
}

/** Every key that a plugin's sources ask for. */
export function keysOfSources(): string[] {
  const texts = globSync(`${root}packages/plugins/src/**/*.ts`)
    .filter((file) => !file.endsWith('.test.ts'))
    .map((file) => readFileSync(file, 'utf8'));
  const asked = texts.flatMap((text) => [
    ...text.matchAll(/\.(?:boolean|string|strings|integer|object|objects|has)\(\s*'([\w.]+)'/g),
  ]);
  return [...new Set(asked.map(([, key]) => key!))].sort();
}

export const prevResult: JsonRecord = {
  cniVersion: '1.1.0',
  interfaces: [
    { name: 'br0', mac: '02:00:00:00:00:01' },
    { name: 'veth1', mac: '02:00:00:00:00:02' },
    { name: 'eth0', mac: '02:00:00:00:00:03', mtu: 1400, sandbox: '/run/netns/fuzz' },
  ],
  ips: [
    { address: '10.1.2.3/24', gateway: '10.1.2.1', interface: 2 },
    { address: 'fd00::3/64', interface: 2 },
  ],
  routes: [{ dst: '0.0.0.0/0', gw: '10.1.2.1', mtu: 1300, table: 5 }, { dst: '::/0' }],
  dns: { nameservers: ['192.0.2.1'], domain: 'a.test', search: ['b.test'], options: ['ndots:1'] },
};

/** One value for each capability. */
const runtimeConfig: JsonRecord = {
  portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp', hostIP: '127.0.0.1' }],
  ipRanges: [[{ subnet: '10.1.2.0/24', rangeStart: '10.1.2.9', rangeEnd: '10.1.2.20', gateway: '10.1.2.1' }]],
  bandwidth: { ingressRate: 2048, ingressBurst: 1600, egressRate: 4096, egressBurst: 1600 },
  dns: { servers: ['192.0.2.1'], searches: ['a.test'], options: ['ndots:1'] },
  ips: ['10.1.2.7/24'],
  mac: '02:00:00:00:00:09',
  deviceID: '0000:00:01.0',
  aliases: ['web'],
};
