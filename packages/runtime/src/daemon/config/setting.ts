/** One key of a configuration file. */
export interface Setting<Value = unknown> {
  default: Value;
  /** What stands for the value in `--help`: `DIR`. Undefined: a flag without a value. */
  placeholder?: string;
  help: string;
  /** Why a value of the right type is none; undefined when it is fine. */
  refuse?(value: Value): string | undefined;
  /** A running daemon takes it up with SIGHUP. */
  isReloadable?: true;
  /** A table, which no flag can hold. */
  isFileOnly?: true;
  /** For the project's own tests: not in the file that `config default` prints. */
  isInternal?: true;
}

export const absolutePath = (value: string) =>
  value.startsWith('/') ? undefined : 'must be an absolute path';
export const absolutePathOrEmpty = (value: string) =>
  value === '' || value.startsWith('/') ? undefined : 'must be an absolute path, or empty for none';
export const isInteger = (value: number, from: number, to: number) =>
  Number.isInteger(value) && value >= from && value <= to;
export const addressOrEmpty = (value: string) =>
  value === '' || /^(\[[0-9a-fA-F:]+\]|[^:[\]]+):\d{1,5}$/.test(value)
    ? undefined
    : 'must be ADDRESS:PORT, an IPv6 address in brackets';

/** `cniConfDir` is `cni_conf_dir` in a file and `--cni-conf-dir` on the command line. */
export function keyOf(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

export function flagOf(field: string): string {
  return keyOf(field).replaceAll('_', '-');
}

/** What a flag's text means for a setting: a number or a list where that is wanted. */
export function flagValue({ default: wanted }: Setting, value: string | boolean): unknown {
  if (typeof value !== 'string') return value;
  if (typeof wanted === 'number' && /^\d+$/.test(value)) return Number(value);
  if (Array.isArray(wanted)) return value === '' ? [] : value.split(',');
  return value;
}

/** Why a setting cannot have this value; undefined when it can. */
export function refusalOf({ default: wanted, refuse }: Setting, value: unknown): string | undefined {
  if (Array.isArray(wanted)) {
    if (!Array.isArray(value) || !value.every((item) => typeof item === 'string'))
      return 'must be a list of strings';
  } else if (typeof value !== typeof wanted) return `must be a ${typeof wanted}`;
  return refuse?.(value);
}
