import type { RuntimeContext } from '../context.ts';

/** What a handler knows of the call beside its request. */
export interface Call {
  /** Aborted when the client goes away or its deadline passes. */
  signal: AbortSignal;
}

/** The implementation of one unary RPC: request in, response out, errors thrown. */
export type Handler<Request, Response> = (
  context: RuntimeContext,
  request: Request,
  call: Call,
) => Response | Promise<Response>;

/** The implementation of a server-streaming RPC: what it gives is sent as fast as the client takes it. */
export type StreamHandler<Request, Response> = (
  context: RuntimeContext,
  request: Request,
  call: Call,
) => Iterable<Response> | AsyncIterable<Response>;
