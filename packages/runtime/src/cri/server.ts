import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import {
  type handleUnaryCall,
  Server,
  ServerCredentials,
  type ServiceDefinition,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import type { RuntimeContext } from '../context.ts';
import { ImageServiceService, RuntimeServiceService } from '../gen/api.ts';
import { ImagesService } from '../gen/images.ts';
import { attach } from './attach.ts';
import type { Handler } from './call.ts';
import { containerStatus } from './container-status.ts';
import { createContainer } from './create-container.ts';
import { exec } from './exec.ts';
import { execSync } from './exec-sync.ts';
import { imageFsInfo } from './image-fs-info.ts';
import { imageStatus } from './image-status.ts';
import { imagesService } from './images/service.ts';
import { listContainers } from './list-containers.ts';
import { listImages } from './list-images.ts';
import { listPodSandbox } from './list-pod-sandbox.ts';
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
import { toServiceError } from './status-code.ts';
import { stopContainer } from './stop-container.ts';
import { stopPodSandbox } from './stop-pod-sandbox.ts';
import { updateRuntimeConfig } from './update-runtime-config.ts';
import { version } from './version.ts';

/** The handlers of a service, by method; a method without one answers UNIMPLEMENTED. */
type Handlers<Definition> = {
  [Method in keyof Definition]?: Definition[Method] extends {
    requestDeserialize: (bytes: Buffer) => infer Request;
    responseDeserialize: (bytes: Buffer) => infer Response;
  }
    ? Handler<Request, Response>
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
};

const imageService: Handlers<typeof ImageServiceService> = {
  listImages,
  imageStatus,
  pullImage,
  removeImage,
  imageFsInfo,
};

/** Serves CRI on a unix socket (mode 0660). A stale socket of a daemon that died is replaced. */
export async function serve(context: RuntimeContext, socket: string): Promise<Server> {
  const server = new Server({
    // What a message may hold is the client's to say: the kubelet's takes 16 MiB, and ExecSync may have that twice.
    'grpc.max_send_message_length': -1,
    'grpc.max_receive_message_length': 16 * 1024 * 1024,
  });
  server.addService(RuntimeServiceService, implementation(context, runtimeService));
  server.addService(ImageServiceService, implementation(context, imageService));
  server.addService(ImagesService, imagesService(context));
  mkdirSync(dirname(socket), { recursive: true, mode: 0o755 });
  rmSync(socket, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  chmodSync(socket, 0o660);
  return server;
}

function implementation<D extends ServiceDefinition>(
  context: RuntimeContext,
  handlers: Handlers<D>,
): UntypedServiceImplementation {
  return Object.fromEntries(
    Object.entries(handlers).map(([method, handler]) => [
      method,
      unary(context, method, handler as Handler<unknown, unknown>),
    ]),
  );
}

/** Runs a handler with the call's cancellation as its signal, and turns what it throws into a gRPC status. */
function unary(
  context: RuntimeContext,
  method: string,
  handler: Handler<unknown, unknown>,
): handleUnaryCall<unknown, unknown> {
  return (call, callback) => {
    const controller = new AbortController();
    call.on('cancelled', () => controller.abort());
    const startedAt = performance.now();
    const ms = () => Math.round((performance.now() - startedAt) * 10) / 10;
    Promise.try(() => handler(context, call.request, { signal: controller.signal })).then(
      (response) => {
        context.log.debug('call', { method, ms: ms() });
        callback(null, response);
      },
      (error: unknown) => {
        const status = toServiceError(error);
        context.log.warn('call failed', { method, ms: ms(), code: status.name, error: status.details });
        if (status.name === 'INTERNAL' && error instanceof Error)
          context.log.error(error.stack ?? error.message);
        callback(status);
      },
    );
  };
}
