import type { RuntimeContext } from '../../context.ts';

/** One call of our own service, whose requests and responses are streams of one or more. */
export interface StreamCall<Request, Response> {
  requests: AsyncIterable<Request>;
  /** Resolves when there is room for the next one. */
  send(response: Response): Promise<void>;
  /** Aborted when the client goes away. */
  signal: AbortSignal;
}

/** The implementation of one streaming RPC: it has ended when this resolves; errors are thrown. */
export type StreamHandler<Request, Response> = (
  context: RuntimeContext,
  call: StreamCall<Request, Response>,
) => Promise<void>;
