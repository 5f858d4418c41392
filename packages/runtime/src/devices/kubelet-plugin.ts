import { existsSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import { errorText } from '../errors.ts';
import { DevicePluginService, RegisterRequest, RegistrationService } from '../gen/deviceplugin.ts';
import type { Log } from '../log.ts';
import type { PoolDevice } from './discover.ts';
import { devicePluginService, pluginOptions } from './plugin-service.ts';
import type { DevicePool } from './pool-config.ts';

const VERSION = 'v1beta1';
const REGISTER_TIMEOUT_MS = 10_000;

export interface KubeletPluginOptions {
  pools: readonly DevicePool[];
  devicesOf(pool: DevicePool): PoolDevice[];
  /** `/var/lib/kubelet/device-plugins` */
  kubeletDir: string;
  /** How often devices, and the kubelet's socket, are looked at. */
  intervalMs: number;
  log: Log;
  signal: AbortSignal;
}

/**
 * Serves every pool to the kubelet until the signal: registers, and registers again whenever the kubelet comes back, which removes all
 * sockets at its start. A kubelet that is not there is waited for.
 */
export async function runKubeletPlugin(options: KubeletPluginOptions): Promise<void> {
  await Promise.all(options.pools.map((pool) => servePool(pool, options)));
}

async function servePool(pool: DevicePool, options: KubeletPluginOptions): Promise<void> {
  const { kubeletDir, log, signal, intervalMs } = options;
  const kubelet = join(kubeletDir, 'kubelet.sock');
  const endpoint = `amphipod-${pool.resourceName.replaceAll(/[^A-Za-z0-9]/g, '-')}.sock`;
  const socket = join(kubeletDir, endpoint);
  let registeredWith = '';
  let server: Server | undefined;
  while (!signal.aborted) {
    const present = identityOf(kubelet);
    if (present !== '' && (present !== registeredWith || !existsSync(socket))) {
      try {
        server?.forceShutdown();
        server = await listen(socket, pool, options);
        await register(kubelet, { endpoint, resourceName: pool.resourceName });
        registeredWith = present;
        log.info('registered with the kubelet', { pool: pool.resourceName });
      } catch (error) {
        log.error('register with the kubelet', { pool: pool.resourceName, error: errorText(error) });
      }
    }
    await sleep(intervalMs, undefined, { signal }).catch(() => {});
  }
  server?.forceShutdown();
  rmSync(socket, { force: true });
}

/** Changes with each start of the kubelet; empty without one. */
function identityOf(socket: string): string {
  const found = statSync(socket, { throwIfNoEntry: false });
  return found === undefined ? '' : `${found.ino}.${found.ctimeMs}`;
}

async function listen(
  socket: string,
  pool: DevicePool,
  { devicesOf, intervalMs, log, signal }: KubeletPluginOptions,
): Promise<Server> {
  rmSync(socket, { force: true });
  const server = new Server();
  const service = { pool, devices: () => devicesOf(pool), intervalMs, log, signal };
  server.addService(DevicePluginService, devicePluginService(service));
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  return server;
}

async function register(
  kubelet: string,
  { endpoint, resourceName }: { endpoint: string; resourceName: string },
): Promise<void> {
  const client = new Client(`unix:${kubelet}`, credentials.createInsecure());
  const { path, requestSerialize, responseDeserialize } = RegistrationService.register;
  const request = RegisterRequest.create({
    version: VERSION,
    endpoint,
    resourceName,
    options: pluginOptions,
  });
  try {
    await new Promise<void>((resolve, reject) => {
      const deadline = Date.now() + REGISTER_TIMEOUT_MS;
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, { deadline }, (error) =>
        error === null ? resolve() : reject(error),
      );
    });
  } finally {
    client.close();
  }
}
