import { CriError } from '../errors.ts';
import type { WantedStreams } from '../streaming/session.ts';

/** The streams that an Exec or Attach asks for. @throws CriError invalid-argument for none, and for stderr of a terminal */
export function wantedStreams({ stdin, stdout, stderr, tty }: WantedStreams): WantedStreams {
  if (!stdin && !stdout && !stderr) {
    throw new CriError('invalid-argument', 'one of stdin, stdout and stderr must be set');
  }
  if (tty && stderr)
    throw new CriError('invalid-argument', 'tty and stderr: a terminal has one output, stdout');
  return { stdin, stdout, stderr, tty };
}
