import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { connect, isIPv6, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { CriError, errorText } from '../errors.ts';
import type { Log } from '../log.ts';
import { prepareSocket } from './connected-client.ts';
import { refuseUpgrade } from './http-upgrade.ts';
import { acceptSpdyPortForward } from './port-forward.ts';
import type { Outcome, RemoteClient, Session } from './session.ts';
import { acceptSpdyRemote } from './spdy-remote.ts';
import { Tokens } from './tokens.ts';
import { portForwardProtocols, webSocketPortForward } from './websocket-port-forward.ts';
import { remoteProtocols, webSocketRemote } from './websocket-remote.ts';
import { acceptWebSocket } from './websocket-upgrade.ts';

export interface StreamingOptions {
  /** Where to listen; a wildcard is announced as the loopback address of its family. */
  address: string;
  /** 0: any free one. */
  port: number;
  /** PEM files; both or none. */
  tls: { certFile: string; keyFile: string } | undefined;
  log: Log;
}

/** How often it is made sure that the port still answers. */
const checkMs = 10_000;
/** What clients get to take their last words. */
const farewellMs = 500;

/** The HTTP server behind the URLs that Exec, Attach and PortForward hand out. */
export class StreamingServer implements AsyncDisposable {
  readonly #options: StreamingOptions;
  readonly #tokens = new Tokens<Session>();
  readonly #sockets = new Set<Socket>();
  readonly #clients = new Set<RemoteClient>();
  #server: Server | undefined;
  #problem: string | undefined;
  #timer: NodeJS.Timeout | undefined;

  private constructor(options: StreamingOptions) {
    this.#options = options;
  }

  /** @throws CriError failed-precondition when the port is taken or a TLS file cannot be used */
  static async start(options: StreamingOptions): Promise<StreamingServer> {
    const server = new StreamingServer(options);
    await server.#listen();
    server.#timer = setInterval(() => void server.#check(), checkMs).unref();
    return server;
  }

  /** Why no stream can be opened at the moment; undefined when all is well. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** `http://127.0.0.1:40123` */
  get origin(): string {
    const { port } = this.#server!.address() as { port: number };
    const address = this.#announcedAddress();
    const scheme = this.#options.tls === undefined ? 'http' : 'https';
    return `${scheme}://${isIPv6(address) ? `[${address}]` : address}:${port}`;
  }

  /** The URL that opens `session`: once, within a minute. @throws CriError resource-exhausted, unavailable */
  urlFor(session: Session): string {
    if (this.#problem !== undefined) throw new CriError('unavailable', this.#problem);
    return `${this.origin}/${session.kind}/${this.#tokens.issue(session)}`;
  }

  #announcedAddress(): string {
    const { address } = this.#options;
    if (address === '' || address === '0.0.0.0') return '127.0.0.1';
    return address === '::' ? '::1' : address;
  }

  async #listen(): Promise<void> {
    const { address, port, tls } = this.#options;
    let server: Server;
    try {
      server =
        tls === undefined
          ? createServer()
          : createTlsServer({ cert: readFileSync(tls.certFile), key: readFileSync(tls.keyFile) });
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject).listen(port, address, resolve);
      });
    } catch (cause) {
      throw new CriError(
        'failed-precondition',
        `serve streams on ${address}:${port} (stream_address, stream_port)`,
        { cause },
      );
    }
    server.on('error', (error) => this.#down(error));
    server.on('upgrade', (request, socket, head) => {
      void this.#upgrade(request, socket as Socket, head);
    });
    server.on('request', (request, response) => {
      const session = this.#take(request);
      response
        .writeHead(session === undefined ? 404 : 400)
        .end('an upgrade to SPDY/3.1 or websocket is needed\n');
    });
    this.#server = server;
    this.#problem = undefined;
  }

  #down(error: unknown): void {
    if (this.#problem === undefined) this.#options.log.error('streaming', { error: errorText(error) });
    this.#problem = `serve streams: ${errorText(error)}`;
  }

  /** Asks the port whether somebody answers, and opens it anew when not. */
  async #check(): Promise<void> {
    const { port } = (this.#server?.address() ?? { port: this.#options.port }) as { port: number };
    if (this.#problem === undefined) {
      const error = await tryConnect(this.#announcedAddress(), port);
      if (error === undefined) return;
      this.#down(error);
    }
    this.#server?.close();
    try {
      // Where any free port will do it may be another one: URLs that are out lead nowhere already.
      await this.#listen();
      this.#options.log.info('streaming is back', { origin: this.origin });
    } catch (error) {
      this.#problem = errorText(error);
    }
  }

  #take(request: IncomingMessage): Session | undefined {
    const [, kind, token = ''] = /^\/([a-z]+)\/([\w-]+)$/.exec(request.url?.split('?')[0] ?? '') ?? [];
    const session = this.#tokens.take(token);
    return session?.kind === kind ? session : undefined;
  }

  async #upgrade(request: IncomingMessage, socket: Socket, head: Buffer): Promise<void> {
    prepareSocket(socket);
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    const session = this.#take(request);
    if (session === undefined) return refuseUpgrade(socket, 404, 'no such stream, or opened before');
    const protocol = request.headers.upgrade?.toLowerCase();
    if (protocol === 'websocket') {
      this.#serveWebSocket(request, { socket, head, session });
      return;
    }
    if (protocol !== 'spdy/3.1') return refuseUpgrade(socket, 400, `cannot upgrade to ${protocol}`);
    if (head.length > 0) socket.unshift(head);
    if (session.kind === 'portforward') return acceptSpdyPortForward(request, socket, session.connect);
    const client = await acceptSpdyRemote(request, socket, session.wants);
    if (client !== undefined) await this.#serveRemote(client, session);
  }

  #serveWebSocket(
    request: IncomingMessage,
    { socket, head, session }: { socket: Socket; head: Buffer; session: Session },
  ): void {
    const served = session.kind === 'portforward' ? portForwardProtocols : remoteProtocols;
    acceptWebSocket(request, { socket, head, served }, (webSocket, protocol) => {
      const connection = { webSocket, protocol, socket };
      if (session.kind === 'portforward') webSocketPortForward(connection, session);
      else void this.#serveRemote(webSocketRemote(connection, session.wants), session);
    });
  }

  async #serveRemote(
    client: RemoteClient,
    session: Extract<Session, { kind: 'exec' | 'attach' }>,
  ): Promise<void> {
    this.#clients.add(client);
    let outcome: Outcome;
    try {
      outcome = await session.run(client);
    } catch (error) {
      outcome = { error: errorText(error) };
    }
    // False: it was told already, at the end of the server.
    if (this.#clients.delete(client)) await client.finish(outcome);
  }

  /** Ends all sessions. Clients of exec and attach are told, as the loss of a SPDY connection looks like success to them. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    const clients = [...this.#clients];
    this.#clients.clear();
    const told = clients.map((client) => client.finish({ error: 'session lost: the runtime is stopping' }));
    await Promise.race([Promise.all(told), sleep(farewellMs, undefined, { ref: false })]);
    for (const socket of this.#sockets) socket.destroy();
    this.#server?.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.#server?.close(() => resolve());
    });
  }
}

/** What came of a connection to an address of this machine: nothing, or an error. */
function tryConnect(host: string, port: number): Promise<unknown> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 2000 });
    const done = (error?: unknown) => {
      socket.destroy();
      resolve(error);
    };
    socket.once('connect', () => done());
    socket.once('error', done);
    socket.once('timeout', () => done(new Error(`no answer from ${host}:${port}`)));
  });
}
