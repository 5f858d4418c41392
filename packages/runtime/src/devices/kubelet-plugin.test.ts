// A kubelet as far as its device plugin API goes: a client and a server made from proto/deviceplugin.proto.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client, type ClientReadableStream, credentials, Server, ServerCredentials } from '@grpc/grpc-js';
import {
  AllocateRequest,
  DevicePluginService,
  Empty,
  type ListAndWatchResponse,
  PreferredAllocationRequest,
  type RegisterRequest,
  RegistrationService,
} from '../gen/deviceplugin.ts';
import { PodResourcesListerService } from '../gen/podresources.ts';
import { createLog } from '../log.ts';
import type { PoolDevice } from './discover.ts';
import { kubeletDevices } from './kubelet-devices.ts';
import { runKubeletPlugin } from './kubelet-plugin.ts';
import { parseDeviceConfig } from './pool-config.ts';
import { preferredAllocation } from './preferred-allocation.ts';

const device = (address: string, numaNode: number, isHealthy = true): PoolDevice => ({
  ...{ address, numaNode, isHealthy, vendor: '8086', device: '10ca', class: '020000' },
  ...{ driver: 'igbvf', needsVhostNet: false },
});

/** The registration service in a directory of its own; `start` again is a kubelet that was restarted. */
function fakeKubelet() {
  const dir = mkdtempSync(join(tmpdir(), 'kubelet-'));
  const requests: RegisterRequest[] = [];
  let server: Server | undefined;
  let isNext = Promise.withResolvers<RegisterRequest>();
  return {
    dir,
    requests,
    /** The next registration. */
    registered: () => isNext.promise,
    async start() {
      server?.forceShutdown();
      isNext = Promise.withResolvers();
      // As the kubelet does: whatever is there is from before.
      for (const name of readdirSync(dir)) rmSync(join(dir, name));
      server = new Server();
      server.addService(RegistrationService, {
        register(call: { request: RegisterRequest }, callback: (error: null, value: object) => void) {
          requests.push(call.request);
          callback(null, Empty.create());
          isNext.resolve(call.request);
        },
      });
      await listen(server, join(dir, 'kubelet.sock'));
    },
    [Symbol.dispose]() {
      server?.forceShutdown();
      rmSync(dir, { recursive: true });
    },
  };
}

function listen(server: Server, socket: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
}

function pluginClient(socket: string) {
  const client = new Client(`unix:${socket}`, credentials.createInsecure());
  type Methods = typeof DevicePluginService;
  const call = <Name extends keyof Methods>(
    name: Name,
    request: Parameters<Methods[Name]['requestSerialize']>[0],
  ): Promise<ReturnType<Methods[Name]['responseDeserialize']>> => {
    const { path, requestSerialize, responseDeserialize } = DevicePluginService[name];
    return new Promise((resolve, reject) => {
      client.makeUnaryRequest(
        path,
        requestSerialize as (value: unknown) => Buffer,
        responseDeserialize as (bytes: Buffer) => ReturnType<Methods[Name]['responseDeserialize']>,
        request,
        (error, response) => (response === undefined ? reject(error) : resolve(response)),
      );
    });
  };
  return {
    call,
    watch(): ClientReadableStream<ListAndWatchResponse> {
      const { path, requestSerialize, responseDeserialize } = DevicePluginService.listAndWatch;
      return client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, Empty.create());
    },
    [Symbol.dispose]: () => client.close(),
  };
}

const [pool] = parseDeviceConfig(
  '{"resourceList": [{"resourceName": "fast", "resourcePrefix": "example.com", "selectors": {}}]}',
  'f',
).pools;

function run(kubeletDir: string, devices: () => PoolDevice[]) {
  const stop = new AbortController();
  const ended = runKubeletPlugin({
    ...{ pools: [pool!], devicesOf: devices, kubeletDir, intervalMs: 5, signal: stop.signal },
    log: createLog({ level: 'error', format: 'text', write: () => {} }),
  });
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await ended;
    },
  };
}

test('registers, tells devices and their health, prefers by NUMA node, allocates', async () => {
  using kubelet = fakeKubelet();
  await kubelet.start();
  let devices = [device('0000:01:10.0', 0), device('0000:02:10.0', 1), device('0000:02:10.1', 1, false)];
  {
    await using _plugin = run(kubelet.dir, () => devices);
    const request = await kubelet.registered();
    assert.deepEqual(request, {
      ...{ version: 'v1beta1', endpoint: 'amphipod-example-com-fast.sock', resourceName: 'example.com/fast' },
      options: { preStartRequired: false, getPreferredAllocationAvailable: true },
    });
    using plugin = pluginClient(join(kubelet.dir, request.endpoint));
    assert.deepEqual(await plugin.call('getDevicePluginOptions', Empty.create()), request.options);
    const stream = plugin.watch();
    stream.on('error', () => {});
    const told = async () => {
      const [message] = (await once(stream, 'data')) as [ListAndWatchResponse];
      return message.devices.map(({ ID, health, topology }) => [
        ID,
        health,
        topology?.nodes.map((node) => node.ID),
      ]);
    };
    assert.deepEqual(await told(), [
      ['0000:01:10.0', 'Healthy', [0n]],
      ['0000:02:10.0', 'Healthy', [1n]],
      ['0000:02:10.1', 'Unhealthy', [1n]],
    ]);
    devices = [device('0000:01:10.0', 0), device('0000:02:10.0', 1), device('0000:02:10.1', 1)];
    assert.deepEqual((await told())[2], ['0000:02:10.1', 'Healthy', [1n]]);
    stream.cancel();

    const preferred = await plugin.call(
      'getPreferredAllocation',
      PreferredAllocationRequest.create({
        containerRequests: [
          {
            availableDeviceIDs: devices.map(({ address }) => address),
            mustIncludeDeviceIDs: [],
            allocationSize: 2,
          },
          {
            availableDeviceIDs: devices.map(({ address }) => address),
            mustIncludeDeviceIDs: ['0000:01:10.0'],
            allocationSize: 2,
          },
        ],
      }),
    );
    assert.deepEqual(
      preferred.containerResponses.map(({ deviceIDs }) => deviceIDs),
      [
        ['0000:02:10.0', '0000:02:10.1'],
        ['0000:01:10.0', '0000:02:10.0'],
      ],
    );
    const allocate = (...devicesIds: string[]) =>
      plugin.call('allocate', AllocateRequest.create({ containerRequests: [{ devicesIds }] }));
    const { containerResponses } = await allocate('0000:02:10.0', '0000:02:10.1');
    assert.deepEqual(containerResponses[0]!.envs, {
      PCIDEVICE_EXAMPLE_COM_FAST: '0000:02:10.0,0000:02:10.1',
    });
    await assert.rejects(allocate('0000:09:10.0'), /"example\.com\/fast" has no such device/);
  }
  assert.deepEqual(readdirSync(kubelet.dir), ['kubelet.sock'], 'no socket is left');
});

test('registers again with a kubelet that was restarted, and waits for one that is not there', async () => {
  using kubelet = fakeKubelet();
  await using _plugin = run(kubelet.dir, () => [device('0000:01:10.0', 0)]);
  for (const round of [1, 2, 3]) {
    await kubelet.start();
    const { endpoint } = await kubelet.registered();
    using plugin = pluginClient(join(kubelet.dir, endpoint));
    const stream = plugin.watch();
    stream.on('error', () => {});
    const [message] = (await once(stream, 'data')) as [ListAndWatchResponse];
    assert.equal(message.devices.length, 1, `round ${round}`);
    stream.cancel();
  }
  assert.equal(kubelet.requests.length, 3);
});

test('devices of one NUMA node, and of the smallest that has enough', () => {
  const nodes: Record<string, number | undefined> = { a0: 0, a1: 0, a2: 0, b0: 1, b1: 1, c0: undefined };
  const prefer = (available: string[], mustInclude: string[], size: number) =>
    preferredAllocation({ available, mustInclude, size }, (id) => nodes[id]);
  const all = Object.keys(nodes);
  assert.deepEqual(prefer(all, [], 1), ['c0']);
  assert.deepEqual(prefer(all, [], 2), ['b0', 'b1']);
  assert.deepEqual(prefer(all, [], 3), ['a0', 'a1', 'a2']);
  assert.deepEqual(prefer(all, ['a1'], 2), ['a1', 'a0']);
  assert.deepEqual(prefer(all, ['b0'], 3), ['b0', 'b1', 'c0'], 'from the smallest once its own is used up');
  assert.equal(prefer(all, [], 9).length, 6);
  assert.deepEqual(prefer(['a0'], ['a0'], 1), ['a0']);
});

test('what the kubelet has allocated is read by pod and resource; without a kubelet nothing is known', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'pod-resources-'));
  const socket = join(dir, 'kubelet.sock');
  const server = new Server();
  try {
    assert.equal(await kubeletDevices(socket, { name: 'a', namespace: 'n' }, 'example.com/fast'), undefined);
    const devices = (resourceName: string, ...deviceIds: string[]) => ({ resourceName, deviceIds });
    server.addService(PodResourcesListerService, {
      list: (_call: unknown, callback: (error: null, value: object) => void) =>
        callback(null, {
          podResources: [
            {
              ...{ name: 'a', namespace: 'n' },
              containers: [
                {
                  name: 'x',
                  devices: [devices('example.com/fast', 'd1'), devices('example.com/other', 'd2')],
                },
                { name: 'y', devices: [devices('example.com/fast', 'd3')] },
              ],
            },
            {
              name: 'a',
              namespace: 'm',
              containers: [{ name: 'x', devices: [devices('example.com/fast', 'd4')] }],
            },
          ],
        }),
    });
    await listen(server, socket);
    const find = (name: string, resourceName = 'example.com/fast') =>
      kubeletDevices(socket, { name, namespace: 'n' }, resourceName);
    assert.deepEqual(await find('a'), ['d1', 'd3']);
    assert.deepEqual(await find('a', 'example.com/none'), []);
    assert.deepEqual(await find('b'), []);
  } finally {
    server.forceShutdown();
    rmSync(dir, { recursive: true });
  }
});
