/** Exit code for a failure that is ours and not that of the program in the container, as in docker. */
export const EXIT_OWN_FAILURE = 125;
/** The program was found and could not be started. */
export const EXIT_CANNOT_START = 126;
/** The program was not found. */
export const EXIT_NOT_FOUND = 127;

/** A failure to tell the user in one line: printed as `amphipod: COMMAND: MESSAGE`. */
export class CliError extends Error {
  readonly exitCode: number;
  /** Printed without anything before it. */
  readonly isBare: boolean;

  constructor(message: string, options: { exitCode?: number; isBare?: boolean; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = new.target.name;
    this.isBare = options.isBare ?? false;
    this.exitCode = options.exitCode ?? EXIT_OWN_FAILURE;
  }
}

/** A mistake in the command line; the message is followed by a pointer to `--help`. */
export class UsageError extends CliError {}

/** The gRPC status codes that the command line looks at; the numbers are those of the protocol. */
export const grpcStatus = { DEADLINE_EXCEEDED: 4, NOT_FOUND: 5, UNIMPLEMENTED: 12, UNAVAILABLE: 14 } as const;

/** A call that the CRI server, or the way to it, refused. */
export class CriCallError extends CliError {
  /** gRPC status code. */
  readonly code: number;

  constructor(code: number, message: string, cause: unknown) {
    super(message, { cause });
    this.code = code;
  }
}

/** True when the CRI server does not know what a call named. */
export function isNotFound(error: unknown): boolean {
  return error instanceof CriCallError && error.code === grpcStatus.NOT_FOUND;
}

/** The exit code for a program that could not be started, read from the message of the runtime. */
export function startFailureExitCode(message: string): number {
  if (/executable file not found|no such file or directory|command not found/i.test(message)) {
    return EXIT_NOT_FOUND;
  }
  if (/permission denied|exec format error|is a directory/i.test(message)) return EXIT_CANNOT_START;
  return EXIT_OWN_FAILURE;
}

/** True when an error of Node.js has one of these codes. */
export function isCode(error: unknown, ...codes: string[]): boolean {
  return codes.includes((error as NodeJS.ErrnoException | undefined)?.code ?? '');
}
