import { randomBytes } from 'node:crypto';
import { UndoStack } from '@amphipod/linux';
import { checkPathLength } from '../check-path.ts';
import { nowNs } from '../clock.ts';
import { accountedOomKills } from '../containers/oom-kills.ts';
import { isSelinuxEnabled, newSelinuxLevel } from '../containers/selinux.ts';
import type { RuntimeContext } from '../context.ts';
import { CriError, errorText } from '../errors.ts';
import {
  NamespaceMode,
  type PodSandboxConfig,
  type RunPodSandboxRequest,
  type RunPodSandboxResponse,
} from '../gen/api.ts';
import { ownPodCgroup, parentCgroup } from '../oci/cgroup-driver.ts';
import { usableRuntime } from '../oci/runtimes.ts';
import { createSandboxFiles, removeSandboxFiles } from '../pods/files.ts';
import { attachNamedNetworks } from '../pods/further-networks/attach.ts';
import { detachFurtherNetworks } from '../pods/further-networks/detach.ts';
import { ensureSandboxInit, stopSandboxInit } from '../pods/init.ts';
import {
  checkHostname,
  checkSysctls,
  createSandboxNamespaces,
  removeSandboxNamespaces,
} from '../pods/namespaces.ts';
import { attachNetwork, detachNetwork } from '../pods/network.ts';
import { removeOwnCgroup } from '../pods/release.ts';
import { podUserNamespace } from '../pods/user-namespace.ts';
import type { Sandbox } from '../store/records.ts';
import type { Call } from './call.ts';

/**
 * RunPodSandbox: a pod that is READY when this returns, or nothing at all. An undo that fails leaves the sandbox
 * NOTREADY, so that the next StopPodSandbox or RemovePodSandbox finishes the job.
 */
export async function runPodSandbox(
  context: RuntimeContext,
  request: RunPodSandboxRequest,
  { signal }: Call,
): Promise<RunPodSandboxResponse> {
  const sandbox = newSandbox(context, request);
  const { store, sandboxNames, failpoint } = context;
  const step = (name: string) => {
    signal.throwIfAborted();
    sandboxNames.setStep(sandbox.name, name);
  };

  // 1. The name, then the record: from here on a crash leaves something to find.
  sandboxNames.reserve(sandbox.name, sandbox.id, 'record');
  let undoFailed = false;
  await using undo = new UndoStack((what, error) => {
    undoFailed = true;
    context.log.error(`undo of run pod sandbox: ${what}`, { sandbox: sandbox.id, error: errorText(error) });
  });
  undo.defer('forget sandbox', () => {
    sandboxNames.setStep(sandbox.name, undefined);
    if (undoFailed) return store.sandboxes.update(sandbox, { state: 'notready' });
    store.sandboxes.remove(sandbox.id);
    sandboxNames.release(sandbox.name);
  });
  store.sandboxes.add(sandbox);
  failpoint('run-pod-sandbox.record');

  // 2. The files that its containers share.
  step('files');
  undo.defer('remove files', () => removeSandboxFiles(context, sandbox.id));
  createSandboxFiles(context, sandbox);
  failpoint('run-pod-sandbox.files');

  // 3. Namespaces.
  step('namespaces');
  undo.defer('remove namespaces', () => removeSandboxNamespaces(context, sandbox.id));
  await createSandboxNamespaces(context, sandbox);
  failpoint('run-pod-sandbox.namespaces');

  // 4. Network. The undo comes first: an ADD that fails may have made something.
  step('network');
  undo.defer('detach network', (undoSignal) => detachNetwork(context, sandbox, { signal: undoSignal }));
  if (sandbox.namespaces.network === 'pod') await attachNetwork(context, sandbox, { signal });
  failpoint('run-pod-sandbox.network');

  // 5. Further networks that the pod names.
  step('further networks');
  undo.defer('detach further networks', (undoSignal) =>
    detachFurtherNetworks(context, sandbox, { signal: undoSignal }),
  );
  if (sandbox.namespaces.network === 'pod') await attachNamedNetworks(context, sandbox, { signal });
  failpoint('run-pod-sandbox.further-networks');

  // 6. A process only where containers share the pod's PID namespace.
  step('init');
  undo.defer('remove cgroup', () => removeOwnCgroup(context, sandbox));
  undo.defer('stop init', () => stopSandboxInit(context, sandbox));
  if (sandbox.namespaces.pid === 'pod') await ensureSandboxInit(context, sandbox);
  failpoint('run-pod-sandbox.init');

  // 7. Ready.
  step('ready');
  store.sandboxes.update(sandbox, { state: 'ready' });
  failpoint('run-pod-sandbox.ready');
  sandboxNames.setStep(sandbox.name, undefined);
  undo.commit();
  context.events.sandbox('created', sandbox);
  context.events.sandbox('started', sandbox);
  return { podSandboxId: sandbox.id };
}

/** Checks the request and turns it into a record. @throws CriError invalid-argument */
function newSandbox(context: RuntimeContext, { config, runtimeHandler }: RunPodSandboxRequest): Sandbox {
  if (config?.metadata === undefined) throw new CriError('invalid-argument', 'config.metadata: missing');
  const { name, namespace, uid, attempt } = config.metadata;
  if (name === '') throw new CriError('invalid-argument', 'config.metadata.name: empty');
  const runtime = usableRuntime(context.runtimes, runtimeHandler);
  const namespaces = namespacesOf(config);
  const id = randomBytes(32).toString('hex');
  const given = config.linux?.cgroupParent ?? '';
  const cgroupParent =
    given === '' ? ownPodCgroup(context.cgroupDriver, id) : parentCgroup(context.cgroupDriver, given);
  const sandbox: Sandbox = {
    id,
    name: [name, namespace, uid, attempt].join('_'),
    config,
    state: 'creating',
    createdAtNs: nowNs(),
    runtimeHandler,
    namespaces,
    userns: podUserNamespace(config, namespaces, { runtime, state: context.config.state }),
    cgroupParent,
    ...(context.cgroupDriver === 'systemd' && { oomKills: accountedOomKills(context, cgroupParent) }),
    ownsCgroupParent: given === '',
    ips: [],
    bootId: context.bootId,
  };
  if (isSelinuxEnabled()) sandbox.selinuxLevel = newSelinuxLevel(levelsOf(context));
  checkPathLength('config.log_directory', config.logDirectory);
  checkHostname(sandbox);
  checkSysctls(sandbox);
  return sandbox;
}

function levelsOf({ store }: RuntimeContext): Set<string> {
  return new Set(store.sandboxes.list().map(({ selinuxLevel = '' }) => selinuxLevel));
}

function namespacesOf(config: PodSandboxConfig): Sandbox['namespaces'] {
  const options = config.linux?.securityContext?.namespaceOptions;
  const { network = NamespaceMode.POD, ipc = NamespaceMode.POD, pid = NamespaceMode.POD } = options ?? {};
  const podOrNode = (field: string, mode: NamespaceMode) => {
    if (mode === NamespaceMode.POD) return 'pod';
    if (mode === NamespaceMode.NODE) return 'node';
    throw new CriError('invalid-argument', `namespace_options.${field} ${mode}: must be POD or NODE`);
  };
  return {
    network: podOrNode('network', network),
    ipc: podOrNode('ipc', ipc),
    pid: pid === NamespaceMode.CONTAINER ? 'container' : podOrNode('pid', pid),
  };
}
