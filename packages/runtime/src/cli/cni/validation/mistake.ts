import type { JsonKey, Position } from './read-json.ts';

/** One thing that is wrong, or probably wrong, with a configuration. */
export interface Mistake {
  severity: 'error' | 'warning';
  file: string;
  /** Undefined where the file cannot be read at all. */
  position?: Position;
  /** `plugins[0].ipam.subnet`; empty for the whole file. */
  key: JsonKey;
  /** Present when there is one. */
  value?: unknown;
  reason: string;
  /** What would be right. */
  wanted?: string;
}

/** `FILE:LINE:COLUMN: error: plugins[0].mtu = "big": a number is wanted`, as compilers print. */
export function formatMistake({ severity, file, position, key, value, reason, wanted }: Mistake): string {
  const place = position === undefined ? file : `${file}:${position.line}:${position.column}`;
  const shown = value === undefined ? '' : ` = ${shorten(JSON.stringify(value))}`;
  const subject = key === '' ? '' : `${key}${shown}: `;
  return `${place}: ${severity}: ${subject}${reason}${wanted === undefined ? '' : `; ${wanted}`}`;
}

const MAX_VALUE_LENGTH = 60;

function shorten(text: string): string {
  return text.length > MAX_VALUE_LENGTH ? `${text.slice(0, MAX_VALUE_LENGTH - 3)}...` : text;
}
