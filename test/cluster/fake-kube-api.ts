// A FAKE of the few calls of a Kubernetes API server that the agent makes: nodes (list in pages, watch with bookmarks, get, strategic
// merge patch of the status) and pods (get). It is written from the API's documented behaviour and is not the real server:
// what a real one does otherwise no test with it can show. It can be told to fail in the ways that real ones do.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { TlsFiles } from './etcd-server.ts';
import {
  eventLine,
  type FakeNode,
  patchNode,
  sendJson,
  sendStatus,
  type WatchEvent,
} from './fake-kube-answers.ts';

interface Refusal {
  /** Beginning of `GET /api/v1/nodes?…`. */
  match: string;
  status: number;
  reason: string;
  left: number;
  retryAfterSeconds?: number;
}

export interface FakeKubeOptions {
  /** What clients have to show, as `Authorization: Bearer …`. */
  token?: string;
  /** Serves https and wants certificates of its clients. */
  tls?: TlsFiles;
  /** How a watch is told that its position is too old: real servers do both. */
  goneAs?: 'status' | 'line';
}

const COPY = <T>(value: T): T => structuredClone(value);

export class FakeKubeApi implements AsyncDisposable {
  /** `GET /api/v1/nodes?limit=500`, in order. */
  readonly requests: string[] = [];
  /** `NAMESPACE/NAME` to the name of its node. */
  readonly pods = new Map<string, string>();
  token: string | undefined;
  /** Takes requests and says nothing. */
  isSilent = false;
  /** Waits between two pieces of an answer. */
  pieceDelayMs = 0;
  readonly #options: FakeKubeOptions;
  readonly #nodes = new Map<string, FakeNode>();
  readonly #refusals: Refusal[] = [];
  readonly #sockets = new Set<Socket>();
  /** With the revision that each began at. */
  readonly #watches = new Map<http.ServerResponse, number>();
  readonly #pages = new Map<string, { revision: number; nodes: FakeNode[] }>();
  #history: WatchEvent[] = [];
  #compacted = 0;
  #revision = 1000;
  #server: http.Server | undefined;
  #port = 0;

  constructor(options: FakeKubeOptions = {}) {
    this.#options = options;
    this.token = options.token;
  }

  get url(): string {
    return `${this.#options.tls ? 'https' : 'http'}://127.0.0.1:${this.#port}`;
  }

  get watchCount(): number {
    return this.#watches.size;
  }

  /** Begins to listen, at the same port as before. */
  async start(): Promise<this> {
    const { tls } = this.#options;
    const handler: http.RequestListener = (request, response) => void this.#answer(request, response);
    this.#server =
      tls === undefined
        ? http.createServer(handler)
        : https.createServer(
            {
              cert: readFileSync(tls.cert),
              key: readFileSync(tls.key),
              ca: readFileSync(tls.ca),
              requestCert: true,
            },
            handler,
          );
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    this.#port = (this.#server.address() as AddressInfo).port;
    return this;
  }

  /** Stops as a killed server does; its data stays. */
  async stop(): Promise<void> {
    if (this.#server === undefined) return;
    const closed = once(this.#server.close(), 'close');
    this.cutConnections();
    await closed;
    this.#server = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  node(name: string): FakeNode {
    const node = this.#nodes.get(name);
    if (node === undefined) throw new Error(`the fake has no node ${name}`);
    return COPY(node);
  }

  /** Makes a node, or changes it. */
  putNode(name: string, change: (node: FakeNode) => void): void {
    const old = this.#nodes.get(name);
    const node: FakeNode = old
      ? COPY(old)
      : { metadata: { name, resourceVersion: '', annotations: {} }, spec: {}, status: { conditions: [] } };
    change(node);
    this.#commit(old ? 'MODIFIED' : 'ADDED', node);
  }

  deleteNode(name: string): void {
    const node = this.node(name);
    this.#nodes.delete(name);
    this.#commit('DELETED', node);
  }

  /** Forgets all changes up to now, and where lists in pages were. */
  compact(): void {
    this.#compacted = this.#revision;
    this.#history = [];
    this.#pages.clear();
  }

  /** Becomes the server of another time, as when its data is put back from a copy. */
  rewind(revision: number): void {
    this.#revision = revision;
    this.compact();
  }

  /** Answers the next requests that begin so with a refusal. */
  refuse(match: string, status: number, { count = 1, reason = 'Refused', retryAfterSeconds = 0 } = {}): void {
    this.#refusals.push({ match, status, reason, left: count, retryAfterSeconds });
  }

  /** Tells all who watch how far they are, without a change. */
  sendBookmarks(): void {
    const object = { kind: 'Node', metadata: { resourceVersion: `${this.#revision}` } };
    for (const watch of this.#watches.keys())
      watch.write(`${JSON.stringify({ type: 'BOOKMARK', object })}\n`);
  }

  /** Ends all watches as the server does when their time is over. */
  endWatches(): void {
    for (const watch of this.#watches.keys()) watch.end();
    this.#watches.clear();
  }

  /** Cuts all watches in the middle of a line. */
  cutWatches(): void {
    for (const watch of this.#watches.keys()) {
      watch.write('{"type":"MODIFIED","object":{"metadata":{"na');
      setImmediate(() => watch.destroy());
    }
    this.#watches.clear();
  }

  cutConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #commit(type: WatchEvent['type'], node: FakeNode): void {
    // Changes of all other kinds of objects count too.
    this.#revision += 3;
    node.metadata.resourceVersion = `${this.#revision}`;
    if (type !== 'DELETED') this.#nodes.set(node.metadata.name, node);
    const event: WatchEvent = { revision: this.#revision, type, node: COPY(node) };
    this.#history.push(event);
    for (const [watch, from] of this.#watches) {
      if (event.revision > from) void this.#write(watch, eventLine(event));
    }
  }

  async #answer(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const url = new URL(request.url!, 'http://fake');
    const line = `${request.method} ${url.pathname}${url.search}`;
    this.requests.push(line);
    let body = '';
    for await (const chunk of request) body += String(chunk);
    if (this.isSilent) return;
    const refusal = this.#refusals.find(({ match, left }) => left > 0 && line.startsWith(match));
    if (refusal !== undefined) {
      refusal.left--;
      const { status, reason, retryAfterSeconds } = refusal;
      if (retryAfterSeconds) response.setHeader('Retry-After', retryAfterSeconds);
      sendStatus(response, status, { reason, message: `refused: ${reason}` });
    } else if (!this.#isKnown(request)) {
      sendStatus(response, 401, { reason: 'Unauthorized', message: 'Unauthorized' });
    } else this.#route(url, { method: request.method!, body, response });
  }

  #isKnown(request: http.IncomingMessage): boolean {
    if (this.#options.tls && (request.socket as import('node:tls').TLSSocket).authorized) return true;
    return this.token === undefined
      ? !this.#options.tls
      : request.headers.authorization === `Bearer ${this.token}`;
  }

  #route(
    url: URL,
    { method, body, response }: { method: string; body: string; response: http.ServerResponse },
  ): void {
    const [, name, sub] = /^\/api\/v1\/nodes(?:\/([^/]+)(\/status)?)?$/.exec(url.pathname) ?? [];
    const [, namespace, pod] = /^\/api\/v1\/namespaces\/([^/]+)\/pods\/([^/]+)$/.exec(url.pathname) ?? [];
    const isNodes = url.pathname === '/api/v1/nodes';
    if (isNodes && url.searchParams.get('watch') === 'true') this.#watch(url, response);
    else if (isNodes) this.#list(url, response);
    else if (pod !== undefined) {
      const nodeName = this.pods.get(`${namespace}/${pod}`);
      if (nodeName === undefined) sendStatus(response, 404, { reason: 'NotFound', message: 'no such pod' });
      else sendJson(response, { metadata: { name: pod }, spec: { nodeName } });
    } else if (name === undefined || !this.#nodes.has(name)) {
      sendStatus(response, 404, { reason: 'NotFound', message: `nodes "${name}" not found` });
    } else if (method === 'PATCH' && sub !== undefined) this.#patch(name, JSON.parse(body), response);
    else sendJson(response, this.node(name));
  }

  #list(url: URL, response: http.ServerResponse): void {
    const limit = Number(url.searchParams.get('limit') ?? 0);
    const token = url.searchParams.get('continue');
    const page =
      token === null
        ? { revision: this.#revision, nodes: [...this.#nodes.values()].map(COPY) }
        : this.#pages.get(token);
    if (page === undefined) {
      sendStatus(response, 410, { reason: 'Expired', message: 'the continue parameter is too old' });
      return;
    }
    const { revision, nodes } = page;
    const items = limit > 0 ? nodes.slice(0, limit) : nodes;
    const rest = nodes.slice(items.length);
    const next = rest.length > 0 ? `page-${revision}-${rest.length}` : '';
    if (next !== '') this.#pages.set(next, { revision, nodes: rest });
    const metadata = { resourceVersion: `${revision}`, ...(next !== '' && { continue: next }) };
    const text = JSON.stringify({ kind: 'NodeList', metadata, items });
    response.setHeader('Content-Type', 'application/json');
    void this.#write(response, text).then(() => response.end());
  }

  #watch(url: URL, response: http.ServerResponse): void {
    const from = Number(url.searchParams.get('resourceVersion'));
    const gone = { code: 410, reason: 'Expired', message: `too old resource version: ${from}` };
    if (from >= this.#compacted) {
      response.writeHead(200, { 'Content-Type': 'application/json' });
      response.flushHeaders();
      // As the real server does: of a time that has not come yet it has nothing to tell, not even that.
      this.#watches.set(response, from);
      response.on('close', () => this.#watches.delete(response));
      for (const event of this.#history) if (event.revision > from) response.write(eventLine(event));
    } else if (this.#options.goneAs === 'status') sendStatus(response, 410, gone);
    else {
      response.writeHead(200, { 'Content-Type': 'application/json' });
      response.end(`${JSON.stringify({ type: 'ERROR', object: { kind: 'Status', ...gone } })}\n`);
    }
  }

  #patch(name: string, patch: Partial<FakeNode>, response: http.ServerResponse): void {
    this.putNode(name, (node) => patchNode(node, patch));
    sendJson(response, this.node(name));
  }

  /** In one piece, or in many with pauses between them. */
  async #write(response: http.ServerResponse, text: string): Promise<void> {
    if (this.pieceDelayMs === 0) {
      response.write(text);
      return;
    }
    const size = Math.ceil(text.length / 5);
    for (let at = 0; at < text.length; at += size) {
      response.write(text.slice(at, at + size));
      await new Promise((resolve) => setTimeout(resolve, this.pieceDelayMs));
    }
  }
}
