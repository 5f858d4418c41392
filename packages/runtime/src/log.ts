export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export const logLevels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

type Fields = Record<string, string | number | boolean | bigint | undefined>;

/** Writes one JSON line per event; `child` adds fields to every line. */
export interface Log {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
  child(fields: Fields): Log;
}

/** @param write receives each line with its newline */
export function createLog(level: LogLevel, write: (line: string) => void, base: Fields = {}): Log {
  const from = logLevels.indexOf(level);
  const emit = (at: LogLevel) => (message: string, fields?: Fields) => {
    if (logLevels.indexOf(at) < from) return;
    const entry = { time: new Date().toISOString(), level: at, message, ...base, ...fields };
    write(`${JSON.stringify(entry, (_, value) => (typeof value === 'bigint' ? String(value) : value))}\n`);
  };
  return {
    debug: emit('debug'),
    info: emit('info'),
    warn: emit('warn'),
    error: emit('error'),
    child: (fields) => createLog(level, write, { ...base, ...fields }),
  };
}
