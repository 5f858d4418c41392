import { isAlive } from '@amphipod/linux';
import type { RuntimeContext } from '../context.ts';
import { CriError } from '../errors.ts';
import { NamespaceMode } from '../gen/api.ts';
import type { OciLinux } from '../oci/spec.ts';
import { ensureSandboxInit } from '../pods/init.ts';
import type { Container, Sandbox } from '../store/records.ts';

/** The PID namespace mode of a container; an absent message means POD (api.proto, NamespaceOption). */
export function pidModeOf(container: Container): NamespaceMode {
  return container.config.linux?.securityContext?.namespaceOptions?.pid ?? NamespaceMode.POD;
}

/**
 * The PID namespace of a container. Starts the pod's init where it is the pod's.
 * @throws CriError invalid-argument for an unknown mode or target, failed-precondition for a target that does not run
 */
export async function pidNamespace(
  context: RuntimeContext,
  sandbox: Sandbox,
  container: Container,
): Promise<OciLinux['namespaces']> {
  const mode = pidModeOf(container);
  switch (mode) {
    case NamespaceMode.CONTAINER:
      return [{ type: 'pid' }];
    case NamespaceMode.NODE:
      return [];
    case NamespaceMode.POD:
      await context.locks.run(sandbox.id, () => ensureSandboxInit(context, sandbox));
      return [{ type: 'pid', path: `/proc/${sandbox.init?.pid}/ns/pid` }];
    case NamespaceMode.TARGET:
      return [{ type: 'pid', path: `/proc/${targetPid(context, sandbox, container)}/ns/pid` }];
    default:
      throw new CriError('invalid-argument', `namespace_options.pid ${mode}: unknown mode`);
  }
}

/** Pid of the container whose PID namespace this one joins: an ephemeral container's (`kubectl debug --target`). */
export function targetPid(context: RuntimeContext, sandbox: Sandbox, container: Container): number {
  const targetId = container.config.linux?.securityContext?.namespaceOptions?.targetId ?? '';
  const refuse = (code: 'invalid-argument' | 'failed-precondition', why: string) =>
    new CriError(code, `namespace_options.target_id ${JSON.stringify(targetId)}: ${why}`);
  if (targetId === '') throw refuse('invalid-argument', 'pid TARGET needs one');
  const target = context.store.containers.find(targetId);
  if (target === undefined || target.sandboxId !== sandbox.id || target.id === container.id)
    throw refuse('invalid-argument', 'no container of this pod');
  if (target.state !== 'running' || target.process === undefined || !isAlive(target.process))
    throw refuse('failed-precondition', 'does not run');
  return target.process.pid;
}
