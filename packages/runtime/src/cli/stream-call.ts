import { once } from 'node:events';
import { type Client, Metadata, type ServiceError } from '@grpc/grpc-js';

/** A method whose answer is a stream, as generated service definitions describe it. */
export interface StreamMethod<Request, Response> {
  path: string;
  requestStream: boolean;
  responseStream: true;
  requestSerialize(value: Request): Buffer;
  responseDeserialize(bytes: Buffer): Response;
}

export interface StreamCall<Request, Response> {
  method: StreamMethod<Request, Response>;
  /** The one request, or all of them for a method that takes a stream. */
  requests: Iterable<Request> | AsyncIterable<Request>;
  /** What to throw for the error of a call. */
  toError(error: ServiceError): Error;
}

/** Calls a method with a stream of answers; leaving the loop over them cancels the call. */
export async function* streamCall<Request, Response>(
  client: Client,
  { method, requests, toError }: StreamCall<Request, Response>,
): AsyncGenerator<Response> {
  const { path, requestSerialize, responseDeserialize } = method;
  const call = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, new Metadata(), {});
  // A server that has failed takes no more requests; its answer says why.
  const sending = send(requests, call).catch((error: unknown) => {
    call.cancel();
    return error;
  });
  try {
    for await (const response of call) yield response as Response;
  } catch (error) {
    const own = isCancelled(error) ? await sending : undefined;
    throw own instanceof Error ? own : toError(error as ServiceError);
  } finally {
    call.cancel();
  }
}

async function send<Request>(
  requests: Iterable<Request> | AsyncIterable<Request>,
  call: { write(request: Request): boolean; end(): void; destroyed: boolean } & NodeJS.EventEmitter,
): Promise<void> {
  for await (const request of requests) {
    if (call.destroyed) return;
    if (!call.write(request))
      await Promise.race([once(call, 'drain'), once(call, 'close'), once(call, 'status')]);
  }
  call.end();
}

const CANCELLED = 1;

function isCancelled(error: unknown): boolean {
  return (error as Partial<ServiceError>).code === CANCELLED;
}
