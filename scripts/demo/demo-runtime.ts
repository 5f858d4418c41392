import { join } from 'node:path';
import { type CriClient, connectCri } from '../../packages/runtime/src/cli/client.ts';
import { removeRunPod } from '../../packages/runtime/src/cli/remove-run.ts';
import { type Daemon, daemonReady, hasEnded, startDaemon, stopDaemon } from './daemon.ts';

/** The demonstration's own daemon and the connection to it. */
export class DemoRuntime {
  readonly socket: string;
  readonly client: CriClient;
  readonly #directory: string;
  #daemon: Daemon | undefined;

  constructor(directory: string) {
    this.#directory = directory;
    this.socket = join(directory, 'amphipod.sock');
    this.client = connectCri(this.socket);
  }

  /** @returns name and version of the runtime */
  start(): Promise<string> {
    this.#daemon = startDaemon(this.#directory, this.socket);
    return daemonReady(this.#daemon, this.client);
  }

  /** Rejects when the daemon ends without having been asked to. */
  async diedByItself(): Promise<never> {
    throw new Error(await this.#daemon!.ended);
  }

  /** Removes all pods, also those that the user has started meanwhile. */
  async removePods(): Promise<void> {
    // Containers outlive a daemon that died: a new one finds them and takes them away.
    if (this.#daemon !== undefined && hasEnded(this.#daemon)) await this.start();
    const { items } = await this.client.runtime.listPodSandbox({ filter: undefined });
    for (const pod of items) await removeRunPod(this.client, pod);
  }

  async stop(): Promise<void> {
    this.client[Symbol.dispose]();
    if (this.#daemon !== undefined) await stopDaemon(this.#daemon);
  }
}
