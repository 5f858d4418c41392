import { ContainerState } from '../gen/api.ts';
import type { CriClient } from './client.ts';
import { CliError } from './errors.ts';
import { shortId } from './output.ts';
import { type ContainerOfPod, containerState, listContainers } from './pods.ts';

export interface FindOptions {
  /** When a name means several containers and one of them runs, it is that one. */
  preferRunning?: boolean;
}

/**
 * The container that the user means by a full id, the beginning of one, a name, POD/NAME or NAMESPACE/POD/NAME.
 * @throws CliError when there is none, or more than one
 */
export async function findContainer(
  client: CriClient,
  reference: string,
  options: FindOptions = {},
): Promise<ContainerOfPod> {
  return pickContainer(await listContainers(client), reference, options);
}

/** The id of the running container that the user means. @throws CliError */
export async function findRunningContainer(client: CriClient, reference: string): Promise<string> {
  const { container } = await findContainer(client, reference, { preferRunning: true });
  if (container.state === ContainerState.CONTAINER_RUNNING) return container.id;
  throw new CliError(`container "${reference}" is not running: it is ${containerState(container.state)}`);
}

/** {@link findContainer} in a list that is already there. */
export function pickContainer(
  all: ContainerOfPod[],
  reference: string,
  options: FindOptions = {},
): ContainerOfPod {
  const exact = all.find(({ container }) => container.id === reference);
  if (exact !== undefined) return exact;
  let found = all.filter((candidate) => isNamed(candidate, reference));
  if (found.length > 1 && options.preferRunning) {
    const running = found.filter(({ container }) => container.state === ContainerState.CONTAINER_RUNNING);
    if (running.length === 1) found = running;
  }
  // A name goes before the beginning of an id: "cafe" is a name that somebody chose.
  if (found.length === 0 && /^[0-9a-f]+$/.test(reference)) {
    found = all.filter(({ container }) => container.id.startsWith(reference));
  }
  const [first, ...others] = found;
  if (first === undefined) throw new CliError(`no such container "${reference}"`);
  if (others.length > 0) {
    throw new CliError(`"${reference}" means ${found.length} containers: ${found.map(describe).join(', ')}`);
  }
  return first;
}

function isNamed({ container, pod }: ContainerOfPod, reference: string): boolean {
  const name = container.metadata?.name;
  const podName = pod?.metadata?.name;
  return (
    reference === name ||
    reference === `${podName}/${name}` ||
    reference === `${pod?.metadata?.namespace}/${podName}/${name}`
  );
}

function describe({ container, pod }: ContainerOfPod): string {
  return `${shortId(container.id)} (${pod?.metadata?.name ?? '?'}/${container.metadata?.name ?? '?'})`;
}
