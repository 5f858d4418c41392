import type { KeyPath } from './duplicate-keys.ts';
import type { PluginFile } from './invoke/find-plugin.ts';
import type { JsonObject } from './json.ts';
import type { Dns, Result } from './result.ts';

export type CniCommand = 'ADD' | 'DEL' | 'CHECK' | 'STATUS' | 'GC' | 'VERSION';

/** A plugin's configuration as it stands in a list; keys that we do not know are kept. */
export interface PluginConfig extends JsonObject {
  type: string;
}

/** What a plugin gets on stdin: its configuration, with `name` and `cniVersion` of the list, and what the runtime adds. */
export interface NetConf extends PluginConfig {
  cniVersion: string;
  name: string;
  ipam?: PluginConfig;
  dns?: Dns & JsonObject;
  runtimeConfig?: JsonObject;
}

export interface AttachmentId {
  containerID: string;
  ifName: string;
}

/** One call of a plugin, as values. For STATUS and GC `containerID`, `netns` and `ifName` are empty. */
export interface PluginRequest {
  containerID: string;
  /** Path of the pod's network namespace; empty when it is gone. */
  netns: string;
  ifName: string;
  /** CNI_ARGS: `K=V;K2=V2`. */
  args: string;
  config: NetConf;
  /** Result of the plugin before (ADD), or of the whole list (DEL, CHECK). */
  prevResult?: Result | undefined;
  /** Attachments that are to stay (GC); undefined: none is known, everything is stale. */
  validAttachments?: readonly AttachmentId[] | undefined;
  /** Keys that the configuration's text has twice; absent where it came as a value and no text is known. */
  duplicateKeys?(): readonly KeyPath[];
  /**
   * Runs another plugin with the same parameters: an IPAM plugin, say. Only ADD gives a result.
   * @param config the delegate's own configuration; the same as this plugin's unless given
   */
  delegate(type: string, command: CniCommand, config?: NetConf): Promise<Result>;
  /** Tells the runtime's log of something that is wrong and did not hinder the work; absent where nobody listens. */
  warn?(message: string): void;
  signal: AbortSignal;
}

/**
 * A CNI plugin as a value. It reads no environment and prints nothing. `Host` is what it works on (connections to the
 * kernel), handed in by whoever runs it. What it throws is the plugin's error; anything but a CniError has number 999.
 */
export interface Plugin<Host> {
  type: string;
  /** Versions of the specification, oldest first. */
  versions: readonly string[];
  about: string;
  add(request: PluginRequest, host: Host): Promise<Result>;
  /** Idempotent: a missing namespace, interface or state is success. */
  del(request: PluginRequest, host: Host): Promise<void>;
  check(request: PluginRequest, host: Host): Promise<void>;
  /** Throws when ADD cannot be served: numbers 50, 51. */
  status(request: PluginRequest, host: Host): Promise<void>;
  gc(request: PluginRequest, host: Host): Promise<void>;
}

/** A plugin together with what it works on. */
export interface BoundPlugin {
  readonly type: string;
  readonly versions: readonly string[];
  readonly about: string;
  call(command: Exclude<CniCommand, 'VERSION'>, request: PluginRequest): Promise<Result>;
}

/** Plugins that run inside this process. */
export interface InProcessPlugins {
  /**
   * The plugin to call instead of executing the file that was found for `type`; undefined when that file is not this
   * project's own, or the type is none of ours.
   */
  resolve(type: string, file: PluginFile): BoundPlugin | undefined;
}

/** Joins a plugin and its host; `openHost` is called at the first use. */
export function bindPlugin<Host>(plugin: Plugin<Host>, openHost: () => Host): BoundPlugin {
  return {
    type: plugin.type,
    versions: plugin.versions,
    about: plugin.about,
    async call(command, request) {
      const host = openHost();
      switch (command) {
        case 'ADD':
          return await plugin.add(request, host);
        case 'DEL':
          await plugin.del(request, host);
          break;
        case 'CHECK':
          await plugin.check(request, host);
          break;
        case 'STATUS':
          await plugin.status(request, host);
          break;
        case 'GC':
          await plugin.gc(request, host);
          break;
      }
      return {};
    },
  };
}
