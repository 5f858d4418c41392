import { type Context, ROOT_CONTEXT, SpanKind, SpanStatusCode, type Tracer, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import type { CallObserver, CallStart, Observer, Step } from './telemetry.ts';

/**
 * A span for each call of CRI, as a child of the client's where it sends a `traceparent`, and below it one for each step.
 * They go to `endpoint` by OTLP over HTTP; what cannot be delivered is dropped.
 */
export class Traces implements Observer, AsyncDisposable {
  readonly #provider: TracerProvider;
  readonly #tracer: Tracer;

  /** @param endpoint base URL; the path of traces is put behind it (OTLP specification, "OTLP/HTTP Request") */
  constructor(endpoint: string, version: string) {
    const exporter = new OTLPTraceExporter({ url: `${endpoint.replace(/\/+$/, '')}/v1/traces` });
    this.#provider = new TracerProvider({
      resource: resourceFromAttributes({ 'service.name': 'amphipod', 'service.version': version }),
      spanProcessors: [new BatchSpanProcessor({ exporter })],
    });
    this.#tracer = this.#provider.getTracer('amphipod', version);
  }

  begin({ service, method, traceparent }: CallStart): CallObserver {
    // https://opentelemetry.io/docs/specs/semconv/rpc/grpc
    const attributes = { 'rpc.system': 'grpc', 'rpc.service': service, 'rpc.method': method };
    const options = { kind: SpanKind.SERVER, attributes };
    const span = this.#tracer.startSpan(`${service}/${method}`, options, contextOf(traceparent));
    const inside = trace.setSpan(ROOT_CONTEXT, span);
    return {
      step: ({ name, startMs, endMs, error }: Step) => {
        const step = this.#tracer.startSpan(name, { startTime: epochMs(startMs) }, inside);
        if (error !== undefined) step.setStatus({ code: SpanStatusCode.ERROR, message: error });
        step.end(epochMs(endMs));
      },
      end: (code, message) => {
        span.setAttribute('rpc.grpc.status', code);
        if (code !== 'OK')
          span.setStatus({ code: SpanStatusCode.ERROR, ...(message !== undefined && { message }) });
        span.end();
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#provider.shutdown();
  }
}

/** The caller's span (W3C Trace Context, `traceparent`); a text that is none counts as absent. */
function contextOf(traceparent: string | undefined): Context {
  const match = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-|$)/.exec(traceparent ?? '');
  if (match === null) return ROOT_CONTEXT;
  const [, traceId = '', spanId = '', flags = ''] = match;
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16),
    isRemote: true,
  });
}

function epochMs(performanceMs: number): number {
  return performance.timeOrigin + performanceMs;
}
