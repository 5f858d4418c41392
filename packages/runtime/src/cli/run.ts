import { resolve } from 'node:path';
import { type KeyValue, Mount } from '../gen/api.ts';
import type { CriClient } from './client.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { CliError, UsageError } from './errors.ts';
import { followRun } from './follow-run.ts';
import { generatedName } from './generated-name.ts';
import { pullImage } from './image/pull-image.ts';
import { imageSpec } from './image-spec.ts';
import { parsePort } from './parse-port.ts';
import { ownerLabel } from './pods.ts';
import { runPod } from './run-pod.ts';

export const command = defineCommand({
  name: 'run',
  summary: 'Run an image as a pod of one container',
  operands: 'IMAGE [ARG...]',
  arity: [1, Number.POSITIVE_INFINITY],
  passThrough: true,
  options: {
    publish: {
      type: 'string',
      short: 'p',
      multiple: true,
      value: '[IP:]HOST:CONTAINER[/PROTOCOL]',
      help: 'publish a port on the host',
    },
    detach: { type: 'boolean', short: 'd', help: 'print the container id and leave it running' },
    name: { type: 'string', value: 'NAME', help: 'name of pod and container (one is made up)' },
    env: { type: 'string', short: 'e', multiple: true, value: 'NAME=VALUE', help: 'environment variable' },
    label: { type: 'string', short: 'l', multiple: true, value: 'NAME=VALUE', help: 'label of the pod' },
    volume: {
      type: 'string',
      short: 'v',
      multiple: true,
      value: 'HOST:CONTAINER[:ro]',
      help: 'mount a directory or file',
    },
    workdir: { type: 'string', short: 'w', value: 'DIR', help: 'working directory' },
    entrypoint: { type: 'string', value: 'PROGRAM', help: "instead of the image's" },
    rm: { type: 'boolean', help: 'remove pod, container and log when it has ended' },
    pull: { type: 'string', value: 'WHEN', help: 'missing (default), always or never' },
    'log-dir': { type: 'string', value: 'DIR', help: 'where logs go (/var/log/pods)' },
  },
  details: `Without -d the output is shown until the container ends, and its exit code becomes that of this command.
Ctrl-C stops it, a second one kills it. 125 means a failure of ours, 126 a program that cannot be started, 127 one
that is not there.

Examples:
  amphipod run --rm busybox echo hello
  amphipod run -d --name web -p 8080:80 nginx
  amphipod run --rm -e COLOUR=blue -v ./site:/srv:ro busybox ls -l /srv`,
  async run([image = '', ...args], options, context) {
    if (options.rm && options.detach)
      throw new UsageError('--rm needs somebody to wait for the end: not with -d');
    const spec = {
      name: options.name === undefined ? generatedName() : checkName(options.name),
      image,
      args,
      ...(options.entrypoint !== undefined && { entrypoint: options.entrypoint }),
      ...(options.workdir !== undefined && { workingDir: options.workdir }),
      envs: (options.env ?? []).map(parseEnv),
      labels: Object.fromEntries((options.label ?? []).map(parseLabel)),
      mounts: (options.volume ?? []).map(parseVolume),
      ports: (options.publish ?? []).map(parsePort),
      logRoot: resolve(options['log-dir'] ?? '/var/log/pods'),
    };
    const pullWhen = checkPull(options.pull ?? 'missing');
    const client = await context.client();
    if (options.name !== undefined) await refuseTakenName(client, options.name);
    await ensureImage(client, { image, pullWhen, stderr: context.stderr });
    const running = await runPod(client, spec);
    if (!options.detach) return await followRun(client, running, { ...context, remove: options.rm ?? false });
    context.stdout.write(`${running.containerId}\n`);
    return 0;
  },
});

type PullWhen = 'missing' | 'always' | 'never';

function checkPull(value: string): PullWhen {
  if (value === 'missing' || value === 'always' || value === 'never') return value;
  throw new UsageError(`--pull "${value}": expected missing, always or never`);
}

// A pod name becomes a host name and part of a path.
function checkName(name: string): string {
  if (/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name)) return name;
  throw new UsageError(`--name "${name}": expected at most 63 small letters, digits and hyphens`);
}

/** `NAME=VALUE`, or `NAME` for a variable of ours that is passed on. */
function parseEnv(text: string): KeyValue {
  const equals = text.indexOf('=');
  const key = equals === -1 ? text : text.slice(0, equals);
  if (key === '') throw new UsageError(`--env "${text}" has no name`);
  return { key, value: Buffer.from(equals === -1 ? (process.env[key] ?? '') : text.slice(equals + 1)) };
}

function parseLabel(text: string): [string, string] {
  const equals = text.indexOf('=');
  if (equals < 1) throw new UsageError(`--label "${text}": expected NAME=VALUE`);
  return [text.slice(0, equals), text.slice(equals + 1)];
}

function parseVolume(text: string): Mount {
  const [host = '', container = '', mode = 'rw', ...rest] = text.split(':');
  if (host === '' || !container.startsWith('/') || rest.length > 0 || !['ro', 'rw'].includes(mode)) {
    throw new UsageError(`--volume "${text}": expected HOST:CONTAINER[:ro], and CONTAINER to begin with /`);
  }
  return Mount.create({ hostPath: resolve(host), containerPath: container, readonly: mode === 'ro' });
}

async function refuseTakenName({ runtime }: CriClient, name: string): Promise<void> {
  const { items } = await runtime.listPodSandbox({
    filter: { id: '', state: undefined, labelSelector: { [ownerLabel]: name } },
  });
  if (items.length > 0) throw new CliError(`the name "${name}" is taken: amphipod rm ${name}`);
}

async function ensureImage(
  client: CriClient,
  { image, pullWhen, stderr }: { image: string; pullWhen: PullWhen; stderr: CommandContext['stderr'] },
): Promise<void> {
  if (pullWhen !== 'always') {
    const { image: present } = await client.images.imageStatus({ image: imageSpec(image), verbose: false });
    if (present !== undefined) return;
    if (pullWhen === 'never') throw new CliError(`no such image "${image}"`);
  }
  await pullImage(client, { reference: image, stderr, progress: stderr.isTTY ? 'bars' : 'plain' });
}
