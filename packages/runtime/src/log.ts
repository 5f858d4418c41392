export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export const logLevels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];
export type LogFormat = 'json' | 'text';
export const logFormats: readonly LogFormat[] = ['json', 'text'];

type Fields = Record<string, string | number | boolean | bigint | undefined>;

/** Writes a line for each event; `child` adds fields to every line. */
export interface Log {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
  child(fields: Fields): Log;
  /** For this log, its children and its parent. */
  setLevel(level: LogLevel): void;
}

export interface LogOptions {
  level: LogLevel;
  /** Default: `json`. */
  format?: LogFormat;
  /** Receives each line with its newline. */
  write: (line: string) => void;
}

interface Entry {
  level: LogLevel;
  message: string;
  fields: Fields;
}

export function createLog({ level, format = 'json', write }: LogOptions): Log {
  const lineOf = format === 'json' ? jsonLine : textLine;
  let from = logLevels.indexOf(level);
  const withFields = (base: Fields): Log => {
    const emit = (at: LogLevel) => (message: string, fields?: Fields) => {
      if (logLevels.indexOf(at) >= from)
        write(`${lineOf({ level: at, message, fields: { ...base, ...fields } })}\n`);
    };
    return {
      debug: emit('debug'),
      info: emit('info'),
      warn: emit('warn'),
      error: emit('error'),
      child: (fields) => withFields({ ...base, ...fields }),
      setLevel: (changed) => {
        from = logLevels.indexOf(changed);
      },
    };
  };
  return withFields({});
}

function jsonLine({ level, message, fields }: Entry): string {
  const entry = { time: new Date().toISOString(), level, message, ...fields };
  return JSON.stringify(entry, (_, value) => (typeof value === 'bigint' ? String(value) : value));
}

/** `2026-01-02T03:04:05.678Z INFO  ready socket=/run/amphipod.sock`; what has spaces or quotes stands in quotes. */
function textLine({ level, message, fields }: Entry): string {
  const pairs = Object.entries(fields)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => ` ${name}=${quoted(String(value))}`);
  return `${new Date().toISOString()} ${level.toUpperCase().padEnd(5)} ${message}${pairs.join('')}`;
}

function quoted(text: string): string {
  return /^[^\s"=]+$/.test(text) ? text : JSON.stringify(text);
}
