import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  Metadata,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { DaemonConfig } from '../config.ts';
import { parseGroup } from '../containers/user.ts';
import type { RuntimeContext } from '../context.ts';
import { CriError } from '../errors.ts';
import { ImageServiceService, RuntimeServiceService } from '../gen/api.ts';
import { ImagesService } from '../gen/images.ts';
import { NetworksService } from '../gen/networks.ts';
import { attach } from './attach.ts';
import type { Handler, StreamHandler } from './call.ts';
import { checkpointContainer } from './checkpoint-container.ts';
import { containerStats } from './container-stats.ts';
import { containerStatus } from './container-status.ts';
import { createContainer } from './create-container.ts';
import { Encoded } from './encoded.ts';
import { exec } from './exec.ts';
import { execSync } from './exec-sync.ts';
import { failedCall } from './failed-call.ts';
import { getContainerEvents } from './get-container-events.ts';
import { imageFsInfo } from './image-fs-info.ts';
import { imageStatus } from './image-status.ts';
import { imagesService } from './images/service.ts';
import { listContainerStats } from './list-container-stats.ts';
import { listContainers } from './list-containers.ts';
import { listImages } from './list-images.ts';
import { listMetricDescriptors } from './list-metric-descriptors.ts';
import { listPodSandbox } from './list-pod-sandbox.ts';
import { listPodSandboxMetrics } from './list-pod-sandbox-metrics.ts';
import { listPodSandboxStats } from './list-pod-sandbox-stats.ts';
import { attachNetworks } from './networks/attach-networks.ts';
import { checkNetworks, collectNetworks } from './networks/check-networks.ts';
import { detachNetwork } from './networks/detach-network.ts';
import { podSandboxStats } from './pod-sandbox-stats.ts';
import { podSandboxStatus } from './pod-sandbox-status.ts';
import { portForward } from './port-forward.ts';
import { pullImage } from './pull-image.ts';
import { removeContainer } from './remove-container.ts';
import { removeImage } from './remove-image.ts';
import { removePodSandbox } from './remove-pod-sandbox.ts';
import { reopenContainerLog } from './reopen-container-log.ts';
import { runPodSandbox } from './run-pod-sandbox.ts';
import { runtimeConfig } from './runtime-config.ts';
import { startContainer } from './start-container.ts';
import { status } from './status.ts';
import { stopContainer } from './stop-container.ts';
import { stopPodSandbox } from './stop-pod-sandbox.ts';
import { streamContainerStats } from './stream-container-stats.ts';
import { streamContainers } from './stream-containers.ts';
import { streamImages } from './stream-images.ts';
import { streamPodSandboxMetrics } from './stream-pod-sandbox-metrics.ts';
import { streamPodSandboxStats } from './stream-pod-sandbox-stats.ts';
import { streamPodSandboxes } from './stream-pod-sandboxes.ts';
import { updateContainerResources } from './update-container-resources.ts';
import { updatePodSandboxResources } from './update-pod-sandbox-resources.ts';
import { updateRuntimeConfig } from './update-runtime-config.ts';
import { version } from './version.ts';

/** The handlers of a service, by method; a method without one answers UNIMPLEMENTED. */
type Handlers<Definition> = {
  [Method in keyof Definition]?: Definition[Method] extends {
    requestDeserialize: (bytes: Buffer) => infer Request;
    responseDeserialize: (bytes: Buffer) => infer Response;
    responseStream: infer Streams;
  }
    ? Streams extends true
      ? StreamHandler<Request, Response>
      : Handler<Request, Response | Encoded<Response>>
    : never;
};

const runtimeService: Handlers<typeof RuntimeServiceService> = {
  version,
  status,
  runtimeConfig,
  updateRuntimeConfig,
  runPodSandbox,
  stopPodSandbox,
  removePodSandbox,
  podSandboxStatus,
  listPodSandbox,
  createContainer,
  startContainer,
  stopContainer,
  removeContainer,
  listContainers,
  containerStatus,
  execSync,
  exec,
  attach,
  portForward,
  reopenContainerLog,
  updateContainerResources,
  updatePodSandboxResources,
  containerStats,
  listContainerStats,
  podSandboxStats,
  listPodSandboxStats,
  listMetricDescriptors,
  listPodSandboxMetrics,
  checkpointContainer,
  getContainerEvents,
  streamPodSandboxes,
  streamContainers,
  streamContainerStats,
  streamPodSandboxStats,
  streamPodSandboxMetrics,
};

const imageService: Handlers<typeof ImageServiceService> = {
  listImages,
  imageStatus,
  pullImage,
  removeImage,
  imageFsInfo,
  streamImages,
};

/** Ours: proto/networks.proto. */
const networksService: Handlers<typeof NetworksService> = {
  attachNetworks,
  detachNetwork,
  checkNetworks,
  collectNetworks,
};

/** Serves CRI on a unix socket. A stale socket of a daemon that died is replaced. @throws CriError for an unknown group */
export async function serve(
  context: RuntimeContext,
  { socket, socketMode, socketGroup }: DaemonConfig,
): Promise<Server> {
  const groupId = groupIdOf(socketGroup);
  const server = new Server({
    // What a message may hold is the client's to say: the kubelet's takes 16 MiB, and ExecSync may have that twice.
    'grpc.max_send_message_length': -1,
    'grpc.max_receive_message_length': 16 * 1024 * 1024,
  });
  addService(server, RuntimeServiceService, { context, handlers: runtimeService });
  addService(server, ImageServiceService, { context, handlers: imageService });
  addService(server, NetworksService, { context, handlers: networksService });
  server.addService(ImagesService, imagesService(context));
  mkdirSync(dirname(socket), { recursive: true, mode: 0o755 });
  rmSync(socket, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  chownSync(socket, 0, groupId);
  chmodSync(socket, Number.parseInt(socketMode, 8));
  return server;
}

/** @param group name or number; empty: root's */
function groupIdOf(group: string): number {
  if (group === '') return 0;
  if (/^\d+$/.test(group)) return Number(group);
  const entry = parseGroup(readFileSync('/etc/group', 'utf8')).find(({ name }) => name === group);
  if (entry !== undefined) return entry.gid;
  const setting = `socket_group = ${JSON.stringify(group)}`;
  throw new CriError('failed-precondition', `${setting}: no such group in /etc/group`);
}

function addService<D extends ServiceDefinition>(
  server: Server,
  definition: D,
  { context, handlers }: { context: RuntimeContext; handlers: Handlers<D> },
): void {
  const methods = Object.entries(definition).map(([name, method]) => {
    const { responseSerialize } = method;
    const serialize = (value: unknown) => (value instanceof Encoded ? value.bytes : responseSerialize(value));
    return [name, { ...method, responseSerialize: serialize }] as const;
  });
  const implementation = Object.entries(handlers).map(([name, handler]) => {
    const { path, responseStream } = definition[name]!;
    const [, service = '', method = ''] = path.split('/');
    const rpc = { service, method };
    return [
      name,
      responseStream
        ? streaming(context, rpc, handler as StreamHandler<unknown, unknown>)
        : unary(context, rpc, handler as Handler<unknown, unknown>),
    ];
  });
  server.addService(
    Object.fromEntries(methods) as ServiceDefinition,
    Object.fromEntries(implementation) as UntypedServiceImplementation,
  );
}

/** `runtime.v1.RuntimeService` and `RunPodSandbox`. */
interface Rpc {
  service: string;
  method: string;
}

/** Runs a handler with the call's cancellation as its signal, and turns what it throws into a gRPC status. */
function unary(
  context: RuntimeContext,
  rpc: Rpc,
  handler: Handler<unknown, unknown>,
): handleUnaryCall<unknown, unknown> {
  return (call, callback) => {
    const controller = new AbortController();
    call.on('cancelled', () => controller.abort());
    const observed = observe(context, rpc, call.metadata);
    const { signal } = controller;
    observed
      .run(() => Promise.try(() => handler(context, call.request, { signal })))
      .then(
        (response) => {
          observed.succeeded();
          callback(null, response);
        },
        (error: unknown) => callback(observed.failed(error)),
      );
  };
}

/** The same for what a handler gives one by one. A client that does not read stops the handler, not the daemon. */
function streaming(
  context: RuntimeContext,
  rpc: Rpc,
  handler: StreamHandler<unknown, unknown>,
): handleServerStreamingCall<unknown, unknown> {
  return async (call) => {
    const controller = new AbortController();
    const { signal } = controller;
    call.on('cancelled', () => controller.abort());
    const observed = observe(context, rpc, call.metadata);
    try {
      const messages = observed.run(() => handler(context, call.request, { signal }));
      // Says that the stream is open, however long the first message takes.
      call.sendMetadata(new Metadata());
      for await (const message of messages) {
        signal.throwIfAborted();
        if (!call.write(message)) await once(call, 'drain', { signal });
      }
      observed.succeeded();
      call.end();
    } catch (error) {
      if (signal.aborted) observed.cancelled();
      else call.emit('error', observed.failed(error));
    }
  };
}

/** Says in log, metrics and traces how a call ends. */
function observe({ telemetry, log }: RuntimeContext, { service, method }: Rpc, metadata: Metadata) {
  const [traceparent] = metadata.get('traceparent');
  const call = telemetry.begin({ service, method, traceparent: traceparent?.toString() });
  const elapsedMs = stopwatch();
  return {
    run: call.run,
    succeeded() {
      log.debug('call', { method, ms: elapsedMs() });
      call.end('OK');
    },
    /** By a client that has had enough of a stream. */
    cancelled() {
      log.debug('call cancelled', { method, ms: elapsedMs() });
      call.end('CANCELLED');
    },
    failed(error: unknown) {
      const status = failedCall(log, { method, ms: elapsedMs() }, error);
      call.end(status.name, status.details);
      return status;
    },
  };
}

function stopwatch(): () => number {
  const startedAt = performance.now();
  return () => Math.round((performance.now() - startedAt) * 10) / 10;
}
