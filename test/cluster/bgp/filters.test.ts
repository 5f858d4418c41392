// Configurations from generated resources: BIRD takes all of them, and its filters decide as the value that they were written from.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  askBird,
  type BirdRoute,
  type JudgedRoute,
  judgeRoute,
  parseRoutes,
  renderBird,
  type WantedBird,
  wantedBird,
} from '@amphipod/fabric';
import { formatCidr } from '@amphipod/netlink';
import fc from 'fast-check';
import { until } from '../nodes.ts';
import { factsArbitrary, routesArbitrary } from './generated-facts.ts';

const SETS = 200;
const SEED = 20_260_101;

const sets = fc.sample(fc.tuple(factsArbitrary, routesArbitrary), { numRuns: SETS, seed: SEED });

function inDirectory<T>(act: (dir: string) => T): T {
  const dir = mkdtempSync(join(tmpdir(), 'bird-filters-'));
  try {
    return act(dir);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

test(`bird -p accepts what ${SETS} sets of resources become`, () => {
  inDirectory((dir) => {
    const file = join(dir, 'bird.conf');
    let sessions = 0;
    for (const [facts] of sets) {
      const wanted = wantedBird(facts)!;
      sessions += wanted.sessions.length;
      writeFileSync(file, renderBird(wanted.config));
      try {
        execFileSync('bird', ['-p', '-c', file], { stdio: 'pipe' });
      } catch (error) {
        throw new Error(`${(error as { stderr: Buffer }).stderr}\n${renderBird(wanted.config)}`);
      }
    }
    assert.ok(sessions > SETS, `${sessions} sessions`);
  });
});

/** The configuration with test routes in the place of protocols: their networks are different ones. */
function testConfig({ config }: WantedBird, routes: readonly JudgedRoute[]): string {
  const lines = routes.map(
    ({ network, communities, asPath, localPref, metric, interfaceName, isUnicast }) => {
      const attributes = [
        ...communities.map(
          (one) =>
            `bgp_${one.split(':').length === 3 ? 'large_' : ''}community.add((${one.replaceAll(':', ',')}));`,
        ),
        ...asPath.toReversed().map((one) => `bgp_path.prepend(${one});`),
        ...(localPref === undefined ? [] : [`bgp_local_pref = ${localPref};`]),
        ...(metric === undefined ? [] : [`krt_metric = ${metric};`]),
      ];
      const way = isUnicast ? `via "${interfaceName}"` : 'blackhole';
      return `  route ${formatCidr(network)} ${way} { ${attributes.join(' ')} };`;
    },
  );
  const head = renderBird({ ...config, protocols: [{ type: 'device', name: 'devices', scanSeconds: 2 }] });
  return `${head}protocol static test4 {\n  ipv4;\n${lines.join('\n')}\n}\n`;
}

/** What a filter made of a route, in the words of the judge. */
function seen(found: BirdRoute | undefined) {
  if (found === undefined) return undefined;
  const { attributes } = found;
  const list = (key: string) =>
    [...(attributes[key] ?? '').matchAll(/\(([\d, ]+)\)/g)].map(([, one]) => one!.replaceAll(/, ?/g, ':'));
  const number = (key: string) => (attributes[key] === undefined ? undefined : Number(attributes[key]));
  return {
    communities: [...list('BGP.community'), ...list('BGP.large_community')].sort(),
    asPath: (attributes['BGP.as_path'] ?? '').split(' ').filter(Boolean).map(Number),
    localPref: number('BGP.local_pref'),
    metric: number('Kernel.metric'),
  };
}

async function compare(
  wanted: WantedBird,
  routes: readonly JudgedRoute[],
  socketPath: string,
): Promise<number> {
  let accepted = 0;
  for (const { name } of wanted.config.filters.filter(({ name }) => !name.endsWith('6'))) {
    const found = parseRoutes(await askBird(`show route table master4 filter ${name} all`, { socketPath }));
    const byNetwork = new Map(found.map((one) => [one.network, one]));
    for (const route of routes) {
      const verdict = judgeRoute(wanted.config, name, route);
      const { communities, asPath, localPref, metric } = verdict.route;
      const expected = { communities: communities.toSorted(), asPath: [...asPath], localPref, metric };
      const where = `${name} on ${JSON.stringify({ ...route, network: formatCidr(route.network) })}: ${verdict.why}`;
      assert.deepEqual(
        seen(byNetwork.get(formatCidr(route.network))),
        verdict.accepted ? expected : undefined,
        where,
      );
      if (verdict.accepted) accepted++;
    }
  }
  return accepted;
}

test(`a real BIRD's filters of ${SETS} sets decide as judgeRoute says, and change routes alike`, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'bird-filters-'));
  try {
    let [accepted, judged] = [0, 0];
    for (const [i, [facts, routes]] of sets.entries()) {
      const wanted = wantedBird(facts)!;
      const [file, socketPath] = [join(dir, `${i}.conf`), join(dir, `${i}.ctl`)];
      writeFileSync(file, testConfig(wanted, routes));
      const child = spawn('bird', ['-f', '-c', file, '-s', socketPath, '-P', join(dir, `${i}.pid`)], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      let log = '';
      child.stderr.on('data', (chunk: Buffer) => {
        log += chunk;
      });
      const exited = once(child, 'exit');
      try {
        await until(`BIRD has all routes: ${log}`, async () => {
          const lines = await askBird('show route table master4 count', { socketPath }).catch(() => []);
          return lines.some(({ text }) => text.startsWith(`${routes.length} of `));
        });
        accepted += await compare(wanted, routes, socketPath);
        judged += routes.length * wanted.config.filters.filter(({ name }) => !name.endsWith('6')).length;
      } finally {
        child.kill('SIGKILL');
        await exited;
      }
    }
    // Filters that take everything, or nothing, would prove little.
    assert.ok(accepted > judged / 20 && accepted < (judged * 19) / 20, `${accepted} of ${judged} accepted`);
  } finally {
    rmSync(dir, { recursive: true });
  }
});
