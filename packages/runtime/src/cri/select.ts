import type { RuntimeContext } from '../context.ts';
import type { ContainerState, PodSandboxState } from '../gen/api.ts';
import type { Container, Sandbox } from '../store/records.ts';
import { findContainer, findSandbox, matchesLabels } from './lookup.ts';
import { criContainerState, criSandboxState } from './messages.ts';

/** Fields of the filters of lists and stats. Empty ones, and an absent filter, do not narrow; the others are ANDed. */
interface SandboxFilter {
  id?: string;
  state?: { state: PodSandboxState } | undefined;
  labelSelector?: Record<string, string>;
}

interface ContainerFilter {
  id?: string;
  state?: { state: ContainerState } | undefined;
  podSandboxId?: string;
  labelSelector?: Record<string, string>;
}

/** True for a filter that lets everything pass. */
export function isEmptyFilter(filter: SandboxFilter | ContainerFilter | undefined): boolean {
  if (filter === undefined) return true;
  const { id = '', state, labelSelector = {} } = filter;
  const podSandboxId = 'podSandboxId' in filter ? (filter.podSandboxId ?? '') : '';
  return id === '' && podSandboxId === '' && state === undefined && Object.keys(labelSelector).length === 0;
}

/** The sandboxes that a filter lets pass, oldest first; ids may be unique prefixes. */
export function selectSandboxes(context: RuntimeContext, filter: SandboxFilter | undefined): Sandbox[] {
  const { id = '', state, labelSelector = {} } = filter ?? {};
  const candidates = id === '' ? context.store.sandboxes.list() : [findSandbox(context, id) ?? []].flat();
  return candidates
    .filter((sandbox) => sandbox.state !== 'creating')
    .filter((sandbox) => state === undefined || criSandboxState(sandbox) === state.state)
    .filter((sandbox) => matchesLabels(sandbox.config.labels, labelSelector));
}

/** See {@link selectSandboxes}. */
export function selectContainers(context: RuntimeContext, filter: ContainerFilter | undefined): Container[] {
  const { id = '', state, podSandboxId = '', labelSelector = {} } = filter ?? {};
  const candidates = id === '' ? context.store.containers.list() : [findContainer(context, id) ?? []].flat();
  const sandboxId = podSandboxId === '' ? undefined : (findSandbox(context, podSandboxId)?.id ?? '');
  return candidates
    .filter((container) => container.state !== 'creating')
    .filter((container) => state === undefined || criContainerState(container.state) === state.state)
    .filter((container) => sandboxId === undefined || container.sandboxId === sandboxId)
    .filter((container) => matchesLabels(container.config.labels, labelSelector));
}
