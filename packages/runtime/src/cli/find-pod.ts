import type { CriClient } from './client.ts';
import { CliError } from './errors.ts';

/** The id of the pod that the user means by a full id, the beginning of one, a name or NAMESPACE/NAME. @throws CliError */
export async function findPod({ runtime }: CriClient, reference: string): Promise<string> {
  const { items } = await runtime.listPodSandbox({ filter: undefined });
  const named = items.filter(
    ({ id, metadata }) =>
      id === reference ||
      metadata?.name === reference ||
      `${metadata?.namespace}/${metadata?.name}` === reference,
  );
  const found =
    named.length > 0 || !/^[0-9a-f]+$/.test(reference)
      ? named
      : items.filter(({ id }) => id.startsWith(reference));
  const [pod] = found;
  if (pod === undefined) throw new CliError(`no such pod "${reference}"`);
  if (found.length > 1) throw new CliError(`"${reference}" means ${found.length} pods: use an id`);
  return pod.id;
}
