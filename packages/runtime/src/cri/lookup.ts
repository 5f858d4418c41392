import type { RuntimeContext } from '../context.ts';
import { CriError } from '../errors.ts';
import type { Container, Sandbox } from '../store/records.ts';

/** The sandbox with this id or unique prefix; undefined for none and for one that is still being made. */
export function findSandbox(context: RuntimeContext, id: string): Sandbox | undefined {
  const sandbox = context.store.sandboxes.find(id);
  return sandbox?.state === 'creating' ? undefined : sandbox;
}

/** @throws CriError not-found */
export function getSandbox(context: RuntimeContext, id: string): Sandbox {
  const sandbox = findSandbox(context, id);
  if (sandbox === undefined)
    throw new CriError('not-found', `find sandbox ${JSON.stringify(id)}: no such sandbox`);
  return sandbox;
}

/** See {@link findSandbox}. */
export function findContainer(context: RuntimeContext, id: string): Container | undefined {
  const container = context.store.containers.find(id);
  return container?.state === 'creating' ? undefined : container;
}

/** @throws CriError not-found */
export function getContainer(context: RuntimeContext, id: string): Container {
  const container = findContainer(context, id);
  if (container === undefined) {
    throw new CriError('not-found', `find container ${JSON.stringify(id)}: no such container`);
  }
  return container;
}

/** A container that runs now. @throws CriError not-found, failed-precondition */
export function getRunningContainer(context: RuntimeContext, id: string): Container {
  const container = getContainer(context, id);
  if (container.state === 'running') return container;
  throw new CriError('failed-precondition', `container ${container.id}: is ${container.state}, not running`);
}

/** True when `labels` has every pair of the selector (exact matches only, as CRI's filters are). */
export function matchesLabels(labels: Record<string, string>, selector: Record<string, string>): boolean {
  return Object.entries(selector).every(([key, value]) => labels[key] === value);
}
