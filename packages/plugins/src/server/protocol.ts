// What launcher/launcher.c and the plugin server say to one another. A frame is its kind (one letter), the size of its payload
// (four bytes, little endian) and the payload.
//
//   launcher → server   H  version, installation, plugin, then the environment; each text ends with a zero
//   server → launcher   N  not for me, with the reason: the launcher falls back to Node.js
//                       S  send me the standard input; what comes before it has no effects
//   launcher → server   I  the standard input
//   server → launcher   R  exit code (1 byte), size of stdout (4 bytes), stdout, stderr
//   launcher → server   A  the result has been passed on; without it a successful ADD is undone

export type FrameKind = 'H' | 'N' | 'S' | 'I' | 'R' | 'A';

export const FRAME_HEAD_BYTES = 5;

export function encodeFrame(kind: FrameKind, payload: Buffer = Buffer.alloc(0)): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEAD_BYTES + payload.length);
  frame.write(kind, 0, 'latin1');
  frame.writeUInt32LE(payload.length, 1);
  payload.copy(frame, FRAME_HEAD_BYTES);
  return frame;
}

/** The first message: who asks, for which plugin, in which environment. */
export interface Hello {
  version: string;
  root: string;
  type: string;
  env: Record<string, string>;
}

/** @throws RangeError for what is none */
export function decodeHello(payload: Buffer): Hello {
  const [version, root, type, ...variables] = payload.toString().split('\0');
  // The text behind the last zero.
  const rest = variables.pop();
  if (version === undefined || root === undefined || type === undefined || rest !== '')
    throw new RangeError('hello: not of the form of a launcher');
  const env: Record<string, string> = {};
  for (const variable of variables) {
    const equals = variable.indexOf('=', 1);
    // As getenv(3): of two with one name the first counts.
    if (equals > 0) env[variable.slice(0, equals)] ??= variable.slice(equals + 1);
  }
  return { version, root, type, env };
}

/** What a plugin leaves behind: an R frame's content. */
export interface ProgramOutput {
  exitCode: number;
  stdout: string;
  stderr: string;
}

export function encodeOutput({ exitCode, stdout, stderr }: ProgramOutput): Buffer {
  const out = Buffer.from(stdout);
  const head = Buffer.alloc(FRAME_HEAD_BYTES);
  head.writeUInt8(exitCode, 0);
  head.writeUInt32LE(out.length, 1);
  return Buffer.concat([head, out, Buffer.from(stderr)]);
}
