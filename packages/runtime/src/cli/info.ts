import { CgroupDriver } from '../gen/api.ts';
import type { CriClient } from './client.ts';
import { defineCommand, outputOption } from './command.ts';
import { CriCallError, grpcStatus } from './errors.ts';
import { formatBytes, outputFormat, printJson, printTable } from './output.ts';

export const command = defineCommand({
  name: 'info',
  summary: 'Show the runtime: version, conditions, handlers, storage',
  operands: '',
  arity: [0, 0],
  options: outputOption,
  details: `Examples:
  amphipod info
  amphipod info -o json`,
  async run(_operands, options, { client, socket, stdout }) {
    const format = outputFormat(options.output);
    const info = await readInfo(await client(), socket);
    if (format === 'json') printJson(stdout, info);
    else printTable(stdout, ['PROPERTY', 'VALUE'], tableRows(info));
    return 0;
  },
});

async function readInfo({ runtime, images }: CriClient, socket: string) {
  const [version, status, config, filesystems] = await Promise.all([
    runtime.version({ version: '0.1.0' }),
    runtime.status({ verbose: true }),
    runtime.runtimeConfig({}).catch(ignoreUnimplemented),
    images.imageFsInfo({}),
  ]);
  return {
    socket,
    runtime: version.runtimeName,
    version: version.runtimeVersion,
    apiVersion: version.runtimeApiVersion,
    cgroupDriver:
      config?.linux && (config.linux.cgroupDriver === CgroupDriver.SYSTEMD ? 'systemd' : 'cgroupfs'),
    conditions: status.status?.conditions ?? [],
    handlers: status.runtimeHandlers,
    features: status.features,
    imageFilesystems: filesystems.imageFilesystems.map(({ fsId, usedBytes, inodesUsed }) => ({
      path: fsId?.mountpoint,
      usedBytes: usedBytes?.value,
      inodesUsed: inodesUsed?.value,
    })),
    info: Object.fromEntries(Object.entries(status.info).map(([key, text]) => [key, parsedOrText(text)])),
  };
}

function ignoreUnimplemented(error: unknown): undefined {
  if (!(error instanceof CriCallError) || error.code !== grpcStatus.UNIMPLEMENTED) throw error;
}

// The values are JSON by custom, not by rule.
function parsedOrText(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function tableRows(info: Awaited<ReturnType<typeof readInfo>>): string[][] {
  return [
    ['socket', info.socket],
    ['runtime', `${info.runtime} ${info.version} (CRI ${info.apiVersion})`],
    ['cgroup driver', info.cgroupDriver ?? '-'],
    ...info.conditions.map(({ type, status, reason, message }) => [
      type,
      status ? 'yes' : `no: ${[reason, message].filter(Boolean).join(': ')}`,
    ]),
    ['runtime handlers', info.handlers.map(({ name }) => name || '(default)').join(', ') || '-'],
    ...info.imageFilesystems.map(({ path, usedBytes }) => [
      'images',
      `${path ?? '?'}${usedBytes === undefined ? '' : `, ${formatBytes(usedBytes)}`}`,
    ]),
  ];
}
