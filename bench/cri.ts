// Our daemon and containerd side by side, over CRI. See `npm run bench:cri -- --help`.
import { parseArgs } from 'node:util';
import { removeCgroups } from '../test/cri/support/pods.ts';
import { makeScratch } from '../test/cri/support/scratch.ts';
import { buildBusyboxImage } from '../test/cri/support/test-images.ts';
import { type Phase, phases } from './lib/cri-phases.ts';
import { startSubject } from './lib/cri-subjects.ts';
import { printSide, reportRows } from './lib/print-side.ts';
import { Samples, type Side } from './lib/samples.ts';
import { printResult, printTable } from './report.ts';

const help = `usage: npm run bench:cri -- [options]

  --samples N         samples of each call (default 40)
  --only ROW[,ROW…]   measure only what these rows need
  --subject ours|peer measure one side alone
  --cpu-prof DIR      write a CPU profile of our daemon into DIR when it ends
rows: ${phases.flatMap((phase) => phase.rows).join(', ')}
`;

interface Options {
  samples: number;
  only: Set<string>;
  sides: Side[];
  cpuProfileDir: string | undefined;
}

/** @throws Error that names the option */
function parseOptions(): Options | 'help' {
  const { values } = parseArgs({
    options: {
      samples: { type: 'string', default: '40' },
      only: { type: 'string' },
      subject: { type: 'string' },
      'cpu-prof': { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  if (values.help) return 'help';
  const samples = Number(values.samples);
  if (!Number.isInteger(samples) || samples < 1)
    throw new Error(`--samples ${values.samples}: must be 1 or more`);
  const known = phases.flatMap((phase) => phase.rows);
  const only = values.only?.split(',') ?? known;
  const unknown = only.find((row) => !known.includes(row));
  if (unknown !== undefined) throw new Error(`--only ${unknown}: no such row; known are ${known.join(', ')}`);
  const { subject } = values;
  if (subject !== undefined && subject !== 'ours' && subject !== 'peer') {
    throw new Error(`--subject ${subject}: must be "ours" or "peer"`);
  }
  const sides: Side[] = subject === undefined ? ['ours', 'peer'] : [subject];
  return { samples, only: new Set(only), sides, cpuProfileDir: values['cpu-prof'] };
}

/** Runs the phases that the wanted rows need. */
async function measure({ samples: count, only, sides, cpuProfileDir }: Options) {
  using scratch = makeScratch('bench');
  const image = buildBusyboxImage(`${scratch.dir}/image`);
  const nodeFlags = cpuProfileDir === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${cpuProfileDir}`];
  await using stack = new AsyncDisposableStack();
  stack.defer(removeCgroups);
  const subjects = [];
  for (const side of sides) {
    subjects.push(stack.use(await startSubject(side, { dir: `${scratch.dir}/${side}`, image, nodeFlags })));
  }
  const samples = new Samples();
  const isWanted = ({ rows }: Phase) => rows.some((row) => only.has(row));
  for (const phase of phases.filter(isWanted)) await phase.run(subjects, samples, count);
  const peer = subjects.find(({ side }) => side === 'peer')?.version ?? 'none';
  return { peer, rows: samples.rows().filter(({ name }) => only.has(name)) };
}

const options = parseOptions();
if (options === 'help') {
  process.stdout.write(help);
} else {
  const { peer, rows } = await measure(options);
  const [side] = options.sides;
  if (options.sides.length === 1) {
    printSide('cri', rows, side!);
  } else {
    console.log(`times in ms; peer: ${peer}`);
    printTable(reportRows(rows, 'with units'));
    printResult('cri', peer, reportRows(rows));
  }
}
