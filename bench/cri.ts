// Our daemon and containerd side by side, over CRI. See `npm run bench:cri -- --help`.
import { removeCgroups } from '../test/cri/support/pods.ts';
import { makeScratch } from '../test/cri/support/scratch.ts';
import { buildBusyboxImage } from '../test/cri/support/test-images.ts';
import { type Phase, phases } from './lib/cri-phases.ts';
import { startSubject } from './lib/cri-subjects.ts';
import { printSide, reportRows } from './lib/print-side.ts';
import { Samples } from './lib/samples.ts';
import { parseSideOptions, type SideOptions, sideOptionsHelp } from './lib/side-options.ts';
import { printResult, printTable } from './report.ts';

const rows = phases.flatMap((phase) => phase.rows);

const help = `usage: npm run bench:cri -- [options]

  --samples N         samples of each call (default 40)
${sideOptionsHelp}
rows: ${rows.join(', ')}
`;

/** Runs the phases that the wanted rows need. */
async function measure({ count, only, sides, nodeFlags }: SideOptions) {
  using scratch = makeScratch('bench');
  const image = buildBusyboxImage(`${scratch.dir}/image`);
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

const options = parseSideOptions(rows, { option: 'samples', count: 40 });
if (options === 'help') {
  process.stdout.write(help);
} else {
  const { peer, rows: measured } = await measure(options);
  const [side] = options.sides;
  if (options.sides.length === 1) {
    printSide('cri', measured, side!);
  } else {
    console.log(`times in ms; peer: ${peer}`);
    printTable(reportRows(measured, 'with units'));
    printResult('cri', peer, reportRows(measured));
  }
}
