import { existsSync } from 'node:fs';
import { Client, credentials } from '@grpc/grpc-js';
import { ListPodResourcesRequest, PodResourcesListerService } from '../gen/podresources.ts';

const TIMEOUT_MS = 10_000;
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;

export interface PodName {
  name: string;
  namespace: string;
}

/** Devices of a resource that the kubelet has allocated to a pod; undefined where there is no kubelet. @throws ServiceError */
export async function kubeletDevices(
  socket: string,
  pod: PodName,
  resourceName: string,
): Promise<string[] | undefined> {
  if (!existsSync(socket)) return undefined;
  const client = new Client(`unix:${socket}`, credentials.createInsecure(), {
    'grpc.max_receive_message_length': MAX_MESSAGE_BYTES,
  });
  const { path, requestSerialize, responseDeserialize } = PodResourcesListerService.list;
  try {
    const { podResources } = await new Promise<ReturnType<typeof responseDeserialize>>((resolve, reject) => {
      const options = { deadline: Date.now() + TIMEOUT_MS };
      const request = ListPodResourcesRequest.create();
      client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        options,
        (error, response) => (response === undefined ? reject(error) : resolve(response)),
      );
    });
    return podResources
      .filter(({ name, namespace }) => name === pod.name && namespace === pod.namespace)
      .flatMap(({ containers }) => containers)
      .flatMap(({ devices }) => devices)
      .filter((device) => device.resourceName === resourceName)
      .flatMap(({ deviceIds }) => deviceIds);
  } finally {
    client.close();
  }
}
