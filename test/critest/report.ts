import { readFileSync } from 'node:fs';

/** The parts of ginkgo's JSON report (types.Report) that are looked at. */
interface GinkgoReport {
  SpecReports: {
    LeafNodeType: string;
    ContainerHierarchyTexts: string[] | null;
    LeafNodeText: string;
    State: string;
    Failure?: { Message?: string };
  }[];
}

export interface Spec {
  name: string;
  state: 'passed' | 'failed' | 'skipped';
  /** Of a failure or a skip. */
  message: string;
}

/** The specs of a run; what the filter left out is not among them. */
export function readReport(file: string): Spec[] {
  const reports = JSON.parse(readFileSync(file, 'utf8')) as GinkgoReport[];
  return reports
    .flatMap(({ SpecReports }) => SpecReports ?? [])
    .filter(({ LeafNodeType, State }) => LeafNodeType === 'It' && State !== 'pending')
    .map(({ ContainerHierarchyTexts, LeafNodeText, State, Failure }) => ({
      name: [...(ContainerHierarchyTexts ?? []), LeafNodeText].join(' '),
      state: State === 'passed' || State === 'skipped' ? State : 'failed',
      message: Failure?.Message?.trim() ?? '',
    }));
}

/** Counts, then each skip and each failure with its reason. */
export function printReport(specs: readonly Spec[], title: string): void {
  const of = (state: Spec['state']) => specs.filter((spec) => spec.state === state);
  // Specs that the command line leaves out are skipped without a word.
  const skipped = of('skipped').filter(({ message }) => message !== '');
  const lines = [
    `${title}: ${of('passed').length} passed, ${of('failed').length} failed, ${skipped.length} skipped`,
    ...skipped.map(({ name, message }) => `  skipped: ${name}: ${message.split('\n')[0]}`),
    ...of('failed').map(({ name, message }) => `  FAILED: ${name}\n${message.replace(/^/gm, '    ')}`),
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
}
