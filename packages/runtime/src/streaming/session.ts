import type { Socket } from 'node:net';
import type { Readable, Writable } from 'node:stream';
import type { TerminalSizes } from './terminal-sizes.ts';

/** Which streams a request asks for. */
export interface WantedStreams {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  tty: boolean;
}

/** How a command ended, or why it could not be run. */
export type Outcome = { exitCode: number } | { error: string };

/** The client of an exec or attach, whatever carries it. Streams that it did not ask for are absent. */
export interface RemoteStreams {
  stdin?: Readable;
  stdout?: Writable;
  stderr?: Writable;
  sizes: TerminalSizes;
  /** Aborted when the client is gone, or given up. */
  gone: AbortSignal;
  /** Gives the client up when it takes nothing for two seconds on end: what it is served from does not exist any more. */
  endWhenStalled(): void;
}

/** A client whose streams are all open. */
export interface RemoteClient extends RemoteStreams {
  /** Ends the outputs, reports the outcome when the client has them all, and closes. */
  finish(outcome: Outcome): Promise<void>;
}

/** What one token opens. */
export type Session =
  | {
      kind: 'exec' | 'attach';
      wants: WantedStreams;
      /** Serves the client; output is handed over when this resolves, and the outcome is reported after it. */
      run(streams: RemoteStreams): Promise<Outcome>;
    }
  | {
      kind: 'portforward';
      /** The ports that the request named: channels of a WebSocket go by them. */
      ports: number[];
      /** A connection to a port of the pod. @throws Error with what was tried */
      connect(port: number): Promise<Socket>;
    };
