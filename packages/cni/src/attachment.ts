/** One interface of one container in one network. */
export interface Attachment {
  /** Starts with a letter or digit, then letters, digits, `_`, `.`, `-`. */
  containerID: string;
  /** Path of the network namespace; empty when it is gone (DEL only). */
  netns: string;
  /** 1 to 15 bytes. */
  ifName: string;
  /** CNI_ARGS, in order. */
  args?: [key: string, value: string][];
  /** By capability: `{ portMappings: [...] }`; a plugin gets those that its configuration declares. */
  capabilityArgs?: Record<string, unknown>;
}
