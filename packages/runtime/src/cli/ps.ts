import { ContainerState } from '../gen/api.ts';
import type { CriClient } from './client.ts';
import { defineCommand, outputOption } from './command.ts';
import { formatAge, formatTime, outputFormat, printJson, printTable, shortId } from './output.ts';
import { annotation, type ContainerOfPod, containerState, listContainers } from './pods.ts';

export const command = defineCommand({
  name: 'ps',
  summary: 'List containers',
  operands: '',
  arity: [0, 0],
  options: {
    all: { type: 'boolean', short: 'a', help: 'also those that do not run' },
    output: { ...outputOption.output, help: 'table (default), wide (with addresses and exit codes) or json' },
    quiet: { type: 'boolean', short: 'q', help: 'print ids only' },
  },
  details: `Examples:
  amphipod ps
  amphipod ps -a -o wide
  amphipod ps -o json | jq -r '.[].name'`,
  async run(_operands, options, { client, stdout }) {
    const format = outputFormat(options.output, ['table', 'wide', 'json']);
    const cri = await client();
    const all = await listContainers(cri);
    const shown = options.all ? all : all.filter(({ container }) => isRunning(container.state));
    if (options.quiet) {
      for (const { container } of shown) stdout.write(`${container.id}\n`);
      return 0;
    }
    const details = format === 'table' ? shown.map(() => ({})) : await readDetails(cri, shown);
    const rows = shown.map((item, i) => describe(item, details[i] ?? {}));
    if (format === 'json') printJson(stdout, rows);
    else print(stdout, rows, format === 'wide');
    return 0;
  },
});

interface Details {
  ip?: string | undefined;
  exitCode?: number | undefined;
  reason?: string | undefined;
}

function isRunning(state: ContainerState): boolean {
  return state === ContainerState.CONTAINER_RUNNING;
}

// One status call each, for what the lists of CRI do not hold: addresses of pods, exit codes of containers.
function readDetails({ runtime }: CriClient, items: ContainerOfPod[]): Promise<Details[]> {
  const readOne = async ({ container }: ContainerOfPod): Promise<Details> => {
    if (isRunning(container.state)) {
      const { status } = await runtime.podSandboxStatus({
        podSandboxId: container.podSandboxId,
        verbose: false,
      });
      return { ip: status?.network?.ip || undefined };
    }
    const { status } = await runtime.containerStatus({ containerId: container.id, verbose: false });
    const ended = status?.state === ContainerState.CONTAINER_EXITED;
    return ended ? { exitCode: status.exitCode, reason: status.reason } : {};
  };
  // A container may go between the list and the question.
  return Promise.all(items.map((item) => readOne(item).catch(() => ({}))));
}

function describe({ container, pod }: ContainerOfPod, { ip, exitCode, reason }: Details) {
  return {
    id: container.id,
    name: container.metadata?.name ?? '',
    image: container.image?.userSpecifiedImage || container.image?.image || container.imageRef,
    imageId: container.imageId || container.imageRef,
    command: container.annotations[annotation.command],
    state: containerState(container.state),
    exitCode,
    reason,
    createdAt: formatTime(container.createdAt),
    age: formatAge(container.createdAt),
    pod: {
      id: container.podSandboxId,
      name: pod?.metadata?.name,
      namespace: pod?.metadata?.namespace,
      uid: pod?.metadata?.uid,
      ip,
    },
    ports: pod?.annotations[annotation.ports]?.split(', ') ?? [],
    labels: container.labels,
  };
}

function print(
  out: Parameters<typeof printTable>[0],
  rows: ReturnType<typeof describe>[],
  wide: boolean,
): void {
  const headings = ['CONTAINER ID', 'NAME', 'IMAGE', 'COMMAND', 'STATE', 'AGE', 'POD', 'PORTS'];
  printTable(
    out,
    wide ? [...headings, 'IP', 'POD ID'] : headings,
    rows.map((row) => {
      const cells = [
        shortId(row.id),
        row.name,
        /^(sha256:)?[0-9a-f]{64}$/.test(row.image) ? shortId(row.image) : row.image,
        shorten(row.command ?? '-', 30),
        row.exitCode === undefined ? row.state : `${row.state} (${row.exitCode})`,
        row.age,
        row.pod.name ?? '-',
        row.ports.join(', ') || '-',
      ];
      return wide ? [...cells, row.pod.ip ?? '-', shortId(row.pod.id)] : cells;
    }),
  );
}

function shorten(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1)}…`;
}
