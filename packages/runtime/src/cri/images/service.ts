import { once } from 'node:events';
import type { ServerDuplexStream, ServerWritableStream, UntypedServiceImplementation } from '@grpc/grpc-js';
import type { RuntimeContext } from '../../context.ts';
import { failedCall } from '../failed-call.ts';
import type { StreamHandler } from './call.ts';
import { load } from './load.ts';
import { save } from './save.ts';
import { verify } from './verify.ts';

type AnyCall = ServerDuplexStream<unknown, unknown> | ServerWritableStream<unknown, unknown>;

/** Our own service beside CRI's two (proto/images.proto). */
export function imagesService(context: RuntimeContext): UntypedServiceImplementation {
  return {
    load: streaming(context, 'load', load as StreamHandler<unknown, unknown>),
    save: streaming(context, 'save', save as StreamHandler<unknown, unknown>),
    verify: streaming(context, 'verify', verify as StreamHandler<unknown, unknown>),
  };
}

function streaming(context: RuntimeContext, method: string, handler: StreamHandler<unknown, unknown>) {
  return (call: AnyCall) => {
    const controller = new AbortController();
    call.on('cancelled', () => controller.abort());
    const { signal } = controller;
    // A call with one request has it as a property and is no stream of them.
    const requests = Symbol.asyncIterator in call ? call : one(call.request);
    const send = async (response: unknown) => {
      if (signal.aborted || call.write(response)) return;
      // Who has gone away needs no more room; the handler learns of it by its signal.
      await once(call, 'drain', { signal }).catch(() => {});
    };
    Promise.try(() => handler(context, { requests, send, signal })).then(
      () => call.end(),
      (error: unknown) => {
        call.emit('error', failedCall(context.log, { method }, error));
      },
    );
  };
}

async function* one<T>(request: T): AsyncGenerator<T> {
  yield request;
}
