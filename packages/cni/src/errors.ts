/** Names of the error numbers of the CNI specification (section "Error"), and of ours that have no number there. */
export const cniErrorNumbers = {
  /** The configuration asks for a version that the plugin does not speak. */
  'incompatible-version': 1,
  /** A key or value that the plugin does not know; the message names both. */
  'unsupported-field': 2,
  /** The container is not there; no clean-up needed. */
  'unknown-container': 3,
  /** A CNI_* variable (or field of the attachment) is missing or wrong. */
  'invalid-environment': 4,
  'io-failure': 5,
  /** JSON that cannot be read. */
  'decoding-failure': 6,
  'invalid-network-config': 7,
  /** CNI_NETNS is the namespace that the plugin itself runs in (as in libcni; not in the specification). */
  'invalid-netns': 8,
  'try-again-later': 11,
  'plugin-not-available': 50,
  'limited-connectivity': 51,
  /** No more specific code. */
  internal: 999,
  'plugin-not-found': 999,
  'plugin-timeout': 999,
  /** This container and interface are attached already. */
  'already-attached': 999,
  /** CHECK of a container and interface that no ADD is known of. */
  'not-attached': 999,
  /** Several plugins failed; see {@link CniError.errors}. */
  several: 999,
  /** A number of 100 or more: the plugin's own. */
  'plugin-specific': 100,
} as const;

export type CniErrorCode = keyof typeof cniErrorNumbers;

export interface CniErrorOptions {
  /** More for people, beside the message. */
  details?: string;
  /** The plugin type that the error comes from. */
  plugin?: string;
  /** Configuration file and key that are at fault. */
  file?: string;
  key?: string;
  /** The single failures, when there are several. */
  errors?: readonly unknown[];
  cause?: unknown;
}

/** A failure of a plugin or of the library. `code` is the API, `number` what goes over the wire, `message` is for people. */
export class CniError extends Error {
  readonly code: CniErrorCode;
  readonly number: number;
  /** The message without the details, as on the wire. */
  readonly msg: string;
  readonly details: string;
  readonly plugin: string | undefined;
  readonly file: string | undefined;
  readonly key: string | undefined;
  readonly errors: readonly unknown[];

  constructor(code: CniErrorCode | number, msg: string, options: CniErrorOptions = {}) {
    const details = options.details ?? '';
    super(details === '' ? msg : `${msg}; ${details}`, { cause: options.cause });
    this.name = 'CniError';
    this.code = typeof code === 'string' ? code : codeOfNumber(code);
    this.number = typeof code === 'string' ? cniErrorNumbers[code] : code;
    this.msg = msg;
    this.details = details;
    this.plugin = options.plugin;
    this.file = options.file;
    this.key = options.key;
    this.errors = options.errors ?? [];
  }

  /** As a plugin prints it. */
  toWire(cniVersion?: string): { cniVersion?: string; code: number; msg: string; details?: string } {
    return {
      ...(cniVersion !== undefined && { cniVersion }),
      code: this.number,
      msg: this.msg,
      ...(this.details !== '' && { details: this.details }),
    };
  }
}

/** The name of a wire number; numbers that the specification leaves to plugins are `plugin-specific`, others `internal`. */
export function codeOfNumber(number: number): CniErrorCode {
  if (number >= 100 && number !== 999) return 'plugin-specific';
  for (const [name, value] of Object.entries(cniErrorNumbers)) {
    if (value === number) return name as CniErrorCode;
  }
  return 'internal';
}

/** Any thrown value as a CniError; what is none becomes `internal`, its message as it is. */
export function toCniError(error: unknown, options: CniErrorOptions = {}): CniError {
  if (error instanceof CniError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new CniError('internal', message, { cause: error, ...options });
}
