import { constants } from 'node:os';
import { CriError } from '../errors.ts';
import { Signal } from '../gen/api.ts';

const SIGRTMIN = 34;
const SIGRTMAX = 64;

/** Number of a signal given as "SIGTERM", "TERM", "15" or "SIGRTMIN+3". @throws CriError invalid-argument */
export function signalNumber(text: string): number {
  const name = text.toUpperCase().replace(/^(?!SIG)(?=[A-Z])/, 'SIG');
  const known = constants.signals[(name === 'SIGCLD' ? 'SIGCHLD' : name) as NodeJS.Signals];
  if (known !== undefined) return known;
  const realTime = /^SIGRT(MIN|MAX)(?:([+-])(\d+))?$/.exec(name);
  const number = realTime
    ? (realTime[1] === 'MIN' ? SIGRTMIN : SIGRTMAX) + Number(`${realTime[2] ?? '+'}${realTime[3] ?? 0}`)
    : Number(text);
  const valid = realTime ? number >= SIGRTMIN && number <= SIGRTMAX : Number.isInteger(number) && number > 0;
  if (text !== '' && valid && number <= SIGRTMAX) return number;
  throw new CriError('invalid-argument', `signal ${JSON.stringify(text)}: unknown`);
}

/**
 * The signal that stops a container: what the pod says, else what the image says, else SIGTERM. An image's bad signal is
 * SIGTERM too, since no pod can mend it and a container must be stoppable (field case LIF-01).
 * @param onBadSignal told why the image's cannot be used
 */
export function stopSignalOf(
  wanted: Signal,
  imageSignal: string | undefined,
  onBadSignal: (why: string) => void,
): string {
  if (wanted === Signal.SIGNAL_RUNTIME_DEFAULT) {
    if (!imageSignal) return 'SIGTERM';
    try {
      signalNumber(imageSignal);
      return imageSignal;
    } catch (error) {
      onBadSignal((error as Error).message);
      return 'SIGTERM';
    }
  }
  const name = namesByValue.get(wanted);
  if (name === undefined) throw new CriError('invalid-argument', `stop_signal ${wanted}: unknown`);
  return name;
}

/** CRI's numbers are its own, and it writes SIGNAL_SIGRTMINPLUS3 where Linux people write SIGRTMIN+3. */
const namesByValue = new Map<number, string>(
  Object.entries(Signal)
    .filter(([, value]) => value !== Signal.SIGNAL_RUNTIME_DEFAULT)
    .map(([name, value]) => [value, name.slice('SIGNAL_'.length).replace('PLUS', '+').replace('MINUS', '-')]),
);

/** The CRI value of an effective stop signal; RUNTIME_DEFAULT for one that CRI has no name for. */
export function criSignal(text: string): Signal {
  const number = signalNumber(text);
  for (const [value, name] of namesByValue) if (signalNumber(name) === number) return value as Signal;
  return Signal.SIGNAL_RUNTIME_DEFAULT;
}
