import { once } from 'node:events';
import { chmodSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { FabricError } from '../errors.ts';
import type { AgentMonitor } from './agent-monitor.ts';

export interface ServeAgentOptions {
  /** Unix socket, for root only, with the agent's whole state. */
  socket: string;
  /** `ADDRESS:PORT`, where everybody is told metrics, health and readiness. */
  addresses: readonly string[];
}

/**
 * Serves an agent's state on its socket, and `/metrics`, `/healthz` and `/readyz` at addresses: 200, or 503 with the reasons.
 * @throws FabricError `invalid-config` when another agent has the socket, or an address cannot be listened on
 */
export async function serveAgent(
  monitor: AgentMonitor,
  { socket, addresses }: ServeAgentOptions,
): Promise<AsyncDisposable & { ports: number[] }> {
  await using stack = new AsyncDisposableStack();
  await takeSocket(socket);
  const state = createServer((request, response) => {
    if (request.url !== '/state') return notFound(response, 'the state is at /state');
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(monitor.state()));
  });
  await listen(state, { path: socket }, socket);
  stack.defer(() => close(state));
  chmodSync(socket, 0o600);
  const ports: number[] = [];
  if (addresses.length > 0) {
    const listener = await observeAgent(monitor);
    for (const address of addresses) {
      const server = createServer(listener);
      await listen(server, hostAndPort(address), address);
      stack.defer(() => close(server));
      ports.push((server.address() as { port: number }).port);
    }
  }
  const resources = stack.move();
  return { ports, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

/** The library of metrics is loaded here, only where somebody wants them. */
async function observeAgent(monitor: AgentMonitor): Promise<RequestListener> {
  const { agentMetrics } = await import('./agent-metrics.ts');
  const registry = agentMetrics(monitor);
  return (request, response) => {
    switch (request.url?.split('?')[0]) {
      case '/metrics':
        registry.metrics().then(
          (text) => response.writeHead(200, { 'content-type': registry.contentType }).end(text),
          (error: Error) => response.writeHead(500).end(`${error.message}\n`),
        );
        break;
      case '/healthz':
        answer(response, monitor.health().unhealthy);
        break;
      case '/readyz':
        answer(response, monitor.health().unready);
        break;
      default:
        notFound(response, 'there are /metrics, /healthz and /readyz');
    }
  };
}

function answer(response: ServerResponse, reasons: readonly string[]): void {
  if (reasons.length === 0) response.writeHead(200).end('ok\n');
  else response.writeHead(503).end(`${reasons.join('\n')}\n`);
}

function notFound(response: ServerResponse, text: string): void {
  response.writeHead(404).end(`${text}\n`);
}

function hostAndPort(address: string): { host: string; port: number } {
  const [, host, port] = /^(\[[0-9a-fA-F:]+\]|[^:[\]]+):(\d{1,5})$/.exec(address) ?? [];
  if (host !== undefined && Number(port) <= 65_535) {
    return { host: host.replace(/^\[(.*)\]$/, '$1'), port: Number(port) };
  }
  throw new FabricError(
    'invalid-config',
    `serve agent at ${JSON.stringify(address)}: must be ADDRESS:PORT, an IPv6 address in brackets`,
  );
}

/** Makes way for a socket: what a killed agent left goes, one that is in use does not. */
async function takeSocket(path: string): Promise<void> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
  const probe = connect(path);
  try {
    await once(probe, 'connect');
  } catch {
    rmSync(path, { force: true });
    return;
  } finally {
    probe.destroy();
  }
  throw new FabricError('invalid-config', `serve agent at ${JSON.stringify(path)}: another agent is there`);
}

async function listen(
  server: Server,
  where: { path: string } | { host: string; port: number },
  name: string,
): Promise<void> {
  server.listen(where);
  try {
    await once(server, 'listening');
  } catch (error) {
    throw new FabricError(
      'invalid-config',
      `serve agent at ${JSON.stringify(name)}: ${(error as Error).message}`,
      {
        cause: error,
      },
    );
  }
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}
