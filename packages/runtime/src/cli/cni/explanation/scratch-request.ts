import type { Change } from './compare.ts';

/** What the process in the scratch namespaces gets on its stdin. */
export interface ScratchRequest {
  /** JSON of the list. */
  list: string;
  pluginDirs: string[];
  args: [string, string][];
  capabilityArgs: Record<string, unknown>;
  ifName: string;
  /** Links of the machine that the configuration names: stand-ins are made for them. */
  parents: ParentLink[];
  /** Through which of them everything else is reached. */
  defaultRoute: { dev: string; via?: string } | undefined;
  /** Settings that are as on the machine when the plugins begin. */
  sysctls: Record<string, string>;
}

export interface ParentLink {
  name: string;
  mtu: number;
  mac: string | undefined;
  addresses: string[];
}

/** What it answers on its stdout. */
export interface ScratchAnswer {
  /** Undefined when the ADD failed. */
  result: object | undefined;
  error: string | undefined;
  changes: Change[];
  /** What could not be imitated. */
  notes: string[];
}
