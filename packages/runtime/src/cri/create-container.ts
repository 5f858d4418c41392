import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Image } from '@amphipod/images';
import { UndoStack } from '@amphipod/linux';
import { cdiEdits } from '../cdi/container-edits.ts';
import { checkPathLength } from '../check-path.ts';
import { nowNs } from '../clock.ts';
import { containerApparmorProfile } from '../containers/apparmor.ts';
import { containerPaths } from '../containers/paths.ts';
import { pidNamespace } from '../containers/pid-namespace.ts';
import { mountContainerRootfs, removeContainerFiles } from '../containers/rootfs.ts';
import { labelsOf } from '../containers/selinux.ts';
import { stopSignalOf } from '../containers/signals.ts';
import { containerSpec } from '../containers/spec.ts';
import { resolveUser } from '../containers/user.ts';
import { prepareVolumes } from '../containers/volumes.ts';
import type { RuntimeContext } from '../context.ts';
import { CriError, errorText } from '../errors.ts';
import type { CreateContainerRequest, CreateContainerResponse } from '../gen/api.ts';
import { leafCgroup } from '../oci/cgroup-driver.ts';
import type { OciMount } from '../oci/spec.ts';
import { hostnameOf } from '../pods/namespaces.ts';
import { sandboxPaths } from '../pods/paths.ts';
import type { Container, Sandbox } from '../store/records.ts';
import type { Call } from './call.ts';
import { getSandbox } from './lookup.ts';

/**
 * CreateContainer: root file system mounted and OCI configuration written; no process yet. What is wrong with the
 * request is found here, not at the start. After a failure nothing is left.
 */
export async function createContainer(
  context: RuntimeContext,
  request: CreateContainerRequest,
  { signal }: Call,
): Promise<CreateContainerResponse> {
  const sandbox = getSandbox(context, request.podSandboxId);
  if (sandbox.state !== 'ready') {
    throw new CriError('failed-precondition', `create container: sandbox ${sandbox.id} is not ready`);
  }
  const image = imageOf(context, request);
  const container = newContainer(context, sandbox, { request, image });
  const { store, containerNames, failpoint } = context;

  // 1. The name, then the record.
  containerNames.reserve(container.name, container.id, 'record');
  await using undo = new UndoStack((what, error) =>
    context.log.error(`undo of create container: ${what}`, {
      container: container.id,
      error: errorText(error),
    }),
  );
  undo.defer('forget container', () => {
    store.containers.remove(container.id);
    containerNames.release(container.name);
  });
  store.containers.add(container);
  failpoint('create-container.record');

  // 2. The image must not be removed under it.
  undo.defer('release image', () => context.images.release(container.id));
  context.images.acquire(image.id, container.id);
  failpoint('create-container.image');

  // 3. Root file system.
  signal.throwIfAborted();
  containerNames.setStep(container.name, 'rootfs');
  undo.defer('remove root file system', () => removeContainerFiles(context, container.id));
  mountContainerRootfs(context, sandbox, container);
  failpoint('create-container.rootfs');

  // 4. Volumes.
  containerNames.setStep(container.name, 'volumes');
  const volumes = await prepareVolumes(context, { sandbox, container }, { image: image.config, signal });
  failpoint('create-container.volumes');

  // 5. OCI configuration. It needs the image's /etc/passwd and, for a shared PID namespace, the pod's init.
  containerNames.setStep(container.name, 'spec');
  await writeSpec(context, sandbox, { container, image, volumes });
  failpoint('create-container.spec');

  // 6. Created.
  if (sandbox.state !== 'ready')
    throw new CriError('failed-precondition', `sandbox ${sandbox.id}: stopped meanwhile`);
  store.containers.update(container, { state: 'created' });
  failpoint('create-container.created');
  containerNames.setStep(container.name, undefined);
  undo.commit();
  context.events.container('created', container);
  return { containerId: container.id };
}

function imageOf(context: RuntimeContext, { config }: CreateContainerRequest): Image {
  const name = config?.image?.image ?? '';
  if (name === '') throw new CriError('invalid-argument', 'config.image.image: missing');
  const image = context.images.find(name);
  if (image === undefined)
    throw new CriError('not-found', `find image ${JSON.stringify(name)}: not here, pull it first`);
  return image;
}

function newContainer(
  context: RuntimeContext,
  sandbox: Sandbox,
  { request: { config }, image }: { request: CreateContainerRequest; image: Image },
): Container {
  if (config?.metadata === undefined) throw new CriError('invalid-argument', 'config.metadata: missing');
  if (config.metadata.name === '') throw new CriError('invalid-argument', 'config.metadata.name: empty');
  const id = randomBytes(32).toString('hex');
  const logDirectory = sandbox.config.logDirectory;
  const { name, attempt } = config.metadata;
  const pod = sandbox.config.metadata;
  checkPathLength('config.log_path', join(logDirectory, config.logPath));
  return {
    id,
    sandboxId: sandbox.id,
    name: [name, pod?.name, pod?.namespace, pod?.uid, attempt, sandbox.id].join('_'),
    config,
    state: 'creating',
    createdAtNs: nowNs(),
    startedAtNs: 0n,
    finishedAtNs: 0n,
    exitCode: 0,
    reason: '',
    message: '',
    imageId: image.id,
    imageRef: image.repoDigests[0] ?? image.id,
    imageName: config.image?.userSpecifiedImage || image.repoTags[0] || config.image?.image || image.id,
    runtimeHandler: sandbox.runtimeHandler,
    cgroupPath: leafCgroup(context.cgroupDriver, sandbox.cgroupParent, id),
    logPath: logDirectory === '' || config.logPath === '' ? '' : join(logDirectory, config.logPath),
    stopSignal: stopSignalOf(config.stopSignal, image.config.StopSignal, (why) =>
      context.log.warn('stop signal of the image is SIGTERM instead', {
        container: id,
        image: image.id,
        why,
      }),
    ),
    user: { uid: 0, gid: 0, groups: [], home: '/' },
    bootId: context.bootId,
  };
}

async function writeSpec(
  context: RuntimeContext,
  sandbox: Sandbox,
  { container, image, volumes }: { container: Container; image: Image; volumes: OciMount[] },
): Promise<void> {
  const { config } = container;
  const security = config.linux?.securityContext;
  const paths = containerPaths(context.config, container.id);
  Object.assign(container, { user: resolveUser(paths.rootfs, image.config.User ?? '', security) });
  const pod = sandboxPaths(context.config, sandbox.id);
  const spec = containerSpec(context, sandbox, container, {
    image: image.config,
    namespaces: { ...pod, hostname: hostnameOf(sandbox) },
    mountSources: pod,
    volumes,
    pidNamespace: await pidNamespace(context, sandbox, container),
    edits: await cdiEdits(config, context.config.cdiSpecDirs),
    apparmorProfile: await containerApparmorProfile(security),
    selinux: labelsOf(sandbox, container),
  });
  if (spec.hooks !== undefined) Object.assign(container, { hasHooks: true });
  writeFileSync(paths.spec, JSON.stringify(spec));
}
