// Image pulls of our daemon, of containerd and of standard tools, from one registry on loopback. See `npm run bench:images -- --help`.
import { type Registry, startRegistry } from '../test/cri/support/registry.ts';
import { makeScratch } from '../test/cri/support/scratch.ts';
import type { TestImage } from '../test/cri/support/test-images.ts';
import { buildBenchImages, type LayerSpec, layersOf } from './lib/bench-images.ts';
import { imageQueries } from './lib/image-queries.ts';
import { pullInto } from './lib/image-subjects.ts';
import { printSide, reportRows } from './lib/print-side.ts';
import { pullFloor } from './lib/pull-floor.ts';
import { Samples } from './lib/samples.ts';
import { parseSideOptions, type SideOptions, sideOptionsHelp } from './lib/side-options.ts';
import { printResult, printTable, summarize } from './report.ts';

const MIB = 1 << 20;
const layer = (seed: number, mib: number, more: Partial<LayerSpec> = {}): LayerSpec => ({
  seed,
  bytes: Math.floor(mib * MIB),
  compression: 'gzip',
  files: 'mixed',
  ...more,
});
const layers = (count: number, mib: number, more: Partial<LayerSpec> & { first: number }): LayerSpec[] =>
  Array.from({ length: count }, (_, i) => layer(more.first + i, mib / count, more));

/** What is pulled for a row: images one after the other. Sizes are those of the files in them. */
const workloads: Record<string, Record<string, LayerSpec[]>> = {
  pull1GBGzip12Layers: { big: layers(12, 1000, { first: 100 }) },
  pull200MBZstd: { zstd: layers(4, 200, { first: 200, compression: 'zstd' }) },
  pull5MB: { five: layers(2, 5, { first: 300 }) },
  pullTenSharing: Object.fromEntries(
    Array.from({ length: 10 }, (_, i) => [
      `shared-${i}`,
      [...layers(3, 90, { first: 400 }), layer(410 + i, 10)],
    ]),
  ),
  pullSmallFiles: { small: layers(4, 40, { first: 500, files: 'small' }) },
};
const queries = ['ImageStatus1000', 'ListImages1000'];

const rows = [...Object.keys(workloads), ...queries];

const help = `usage: npm run bench:images -- [options]

  --rounds N          pulls of each kind (default 5)
${sideOptionsHelp}
rows: ${rows.join(', ')}

The standard tools are measured with both sides only.
`;

interface Measured {
  samples: Samples;
  floors: Record<string, number[]>;
  peer: string;
}

async function measure(dir: string, options: SideOptions): Promise<Measured> {
  const measured: Measured = { samples: new Samples(), floors: {}, peer: 'none' };
  {
    await using registry = await startRegistry(`${dir}/registry`);
    for (const [row, images] of Object.entries(workloads)) {
      if (!options.only.has(row)) continue;
      const built = await buildBenchImages(`${dir}/${row}`, images);
      await pulls({ row, built, dir, registry }, options, measured);
    }
  }
  if (queries.some((row) => options.only.has(row)) && options.sides.includes('ours')) {
    await imageQueries(dir, measured.samples, 200);
  }
  return measured;
}

/** One workload, the sides in turn, each first every other time. */
async function pulls(
  {
    row,
    built,
    dir,
    registry,
  }: { row: string; built: Record<string, TestImage>; dir: string; registry: Registry },
  { count: rounds, sides, nodeFlags }: SideOptions,
  measured: Measured,
): Promise<void> {
  const { samples, floors } = measured;
  const references: string[] = [];
  for (const [name, image] of Object.entries(built))
    references.push(await registry.push(image, `${name}:v1`));
  const floorLayers = Object.entries(built).flatMap(([name, image]) =>
    layersOf(image).map(({ digest, compression }) => ({
      digest,
      compression,
      url: `http://${registry.host}/v2/${name}/blobs/${digest}`,
    })),
  );
  const distinct = [...new Map(floorLayers.map((floorLayer) => [floorLayer.digest, floorLayer])).values()];
  for (let round = 0; round < rounds; round++) {
    for (const side of round % 2 === 0 ? sides : sides.toReversed()) {
      const { ms, peakMiB, cpuMs, version } = await pullInto(side, `${dir}/${side}-${row}-${round}`, {
        registry: registry.host,
        references,
        nodeFlags,
      });
      samples.add(row, side, ms);
      samples.add(`${row}PeakMemory`, side, peakMiB, 'MiB');
      samples.add(`${row}Cpu`, side, cpuMs);
      console.log(
        `${row}, round ${round + 1}, ${side}: ${Math.round(ms)} ms, ${cpuMs} ms of CPU, ${Math.round(peakMiB)} MiB`,
      );
      if (side === 'peer') measured.peer = version;
    }
    if (sides.length === 2) {
      floors[row] ??= [];
      floors[row].push(await pullFloor(`${dir}/floor-${row}-${round}`, distinct));
    }
  }
}

const options = parseSideOptions(rows, { option: 'rounds', count: 5 });
if (options === 'help') {
  process.stdout.write(help);
} else {
  // Tens of gigabytes, which take a while to delete: at the very end.
  using scratch = makeScratch('bench-images');
  const { samples, floors, peer } = await measure(scratch.dir, options);
  const measured = samples.rows();
  const [side] = options.sides;
  if (options.sides.length === 1) {
    printSide('images', measured, side!);
  } else {
    console.log(`times in ms; peer: ${peer}`);
    printTable(reportRows(measured, 'with units'));
    const floorOf = Object.entries(floors).map(([row, ms]) => [`${row}Floor`, Math.round(summarize(ms).p50)]);
    for (const [row, ms] of floorOf) console.log(`${row}: ${ms} ms with curl, gzip or zstd, and tar`);
    const alone = measured.filter((row) => queries.includes(row.name) && row.ours.length > 0);
    const queried = alone.map(({ name, ours }) => [
      name,
      { ours: Number(summarize(ours).p50.toPrecision(4)) },
    ]);
    for (const { name, ours } of alone) console.log(`${name}: p50 ${summarize(ours).p50.toFixed(2)} ms`);
    printResult('images', peer, reportRows(measured), {
      ...Object.fromEntries(queried),
      ...Object.fromEntries(floorOf),
    });
  }
}
