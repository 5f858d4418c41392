import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceError,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { errorText } from '../errors.ts';
import {
  type AllocateRequest,
  AllocateResponse,
  ContainerAllocateResponse,
  ContainerPreferredAllocationResponse,
  Device,
  DevicePluginOptions,
  DeviceSpec,
  ListAndWatchResponse,
  NUMANode,
  type PreferredAllocationRequest,
  PreferredAllocationResponse,
  PreStartContainerResponse,
  TopologyInfo,
} from '../gen/deviceplugin.ts';
import type { Log } from '../log.ts';
import { deviceFiles, type PoolDevice } from './discover.ts';
import { environmentVariable } from './environment-variable.ts';
import type { DevicePool } from './pool-config.ts';
import { preferredAllocation } from './preferred-allocation.ts';

/** What the kubelet is told of itself. */
export const pluginOptions = DevicePluginOptions.create({
  preStartRequired: false,
  getPreferredAllocationAvailable: true,
});

export interface PoolService {
  pool: DevicePool;
  /** The pool's devices as they are now. */
  devices(): PoolDevice[];
  /** How often they are looked at. */
  intervalMs: number;
  log: Log;
  signal: AbortSignal;
}

/** The device plugin API (proto/deviceplugin.proto) for one pool. */
export function devicePluginService(service: PoolService): UntypedServiceImplementation {
  return {
    getDevicePluginOptions: answer(() => pluginOptions),
    listAndWatch: (call: ServerWritableStream<unknown, ListAndWatchResponse>) => void watch(service, call),
    getPreferredAllocation: answer((request: PreferredAllocationRequest) => prefer(service, request)),
    allocate: answer((request: AllocateRequest) => allocate(service, request)),
    preStartContainer: answer(() => PreStartContainerResponse.create()),
  };
}

function answer<Request, Response>(handler: (request: Request) => Response) {
  return (call: ServerUnaryCall<Request, Response>, callback: sendUnaryData<Response>) => {
    try {
      callback(null, handler(call.request));
    } catch (error) {
      callback({ code: status.INVALID_ARGUMENT, details: errorText(error) } as ServiceError);
    }
  };
}

/** Sends the devices at once, and again whenever one comes, goes, or changes its health. */
async function watch(
  { devices, pool, intervalMs, log, signal }: PoolService,
  call: ServerWritableStream<unknown, ListAndWatchResponse>,
): Promise<void> {
  let last = '';
  const ended = new AbortController();
  call.on('cancelled', () => ended.abort());
  call.on('error', () => ended.abort());
  const either = AbortSignal.any([signal, ended.signal]);
  while (!either.aborted) {
    try {
      const now = devices();
      const told = JSON.stringify(
        now.map(({ address, isHealthy, numaNode }) => [address, isHealthy, numaNode]),
      );
      if (told !== last) {
        call.write(ListAndWatchResponse.create({ devices: now.map((device) => describe(pool, device)) }));
        log.info('devices', {
          pool: pool.resourceName,
          count: now.length,
          healthy: now.filter((each) => each.isHealthy).length,
        });
        last = told;
      }
    } catch (error) {
      log.error('look at devices', { pool: pool.resourceName, error: errorText(error) });
    }
    await sleep(intervalMs, undefined, { signal: either }).catch(() => {});
  }
  call.end();
}

function describe({ excludeTopology }: DevicePool, { address, isHealthy, numaNode }: PoolDevice): Device {
  const hasTopology = !excludeTopology && numaNode !== undefined;
  return Device.create({
    ID: address,
    health: isHealthy ? 'Healthy' : 'Unhealthy',
    ...(hasTopology && {
      topology: TopologyInfo.create({ nodes: [NUMANode.create({ ID: BigInt(numaNode) })] }),
    }),
  });
}

function prefer(
  service: PoolService,
  { containerRequests }: PreferredAllocationRequest,
): PreferredAllocationResponse {
  const nodes = new Map(service.devices().map(({ address, numaNode }) => [address, numaNode]));
  const containerResponses = containerRequests.map(
    ({ availableDeviceIDs, mustIncludeDeviceIDs, allocationSize }) => {
      const choice = {
        available: availableDeviceIDs,
        mustInclude: mustIncludeDeviceIDs,
        size: allocationSize,
      };
      const deviceIDs = preferredAllocation(choice, (id) => nodes.get(id));
      return ContainerPreferredAllocationResponse.create({ deviceIDs });
    },
  );
  return PreferredAllocationResponse.create({ containerResponses });
}

/** The interface comes by the network; a program in user space needs device files, and to know which device. */
function allocate(
  { devices, pool, log }: PoolService,
  { containerRequests }: AllocateRequest,
): AllocateResponse {
  const all = devices();
  const containerResponses = containerRequests.map(({ devicesIds }) => {
    const given = devicesIds.map((id) => {
      const device = all.find(({ address }) => address === id);
      if (device === undefined) throw new Error(`allocate ${id}: "${pool.resourceName}" has no such device`);
      return device;
    });
    log.info('allocated', { pool: pool.resourceName, devices: devicesIds.join() });
    return ContainerAllocateResponse.create({
      envs: { [environmentVariable(pool.resourceName)]: devicesIds.join(',') },
      devices: deviceFiles(given).map((path) =>
        DeviceSpec.create({ containerPath: path, hostPath: path, permissions: 'rw' }),
      ),
    });
  });
  return AllocateResponse.create({ containerResponses });
}
