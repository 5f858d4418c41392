import { UsageError } from '../../errors.ts';

/** How old an allocation must be to be missed. */
export const minAgeOption = {
  'min-age': {
    type: 'string',
    value: 'SECONDS',
    help: 'an allocation younger than this is not missed (300)',
    seconds: 300,
  },
} as const;

/** @throws UsageError for what is no number of seconds */
export function readSeconds(option: string, text: string | undefined, usual: number): number {
  if (text === undefined) return usual;
  if (!/^\d+$/.test(text)) throw new UsageError(`${option} "${text}": expected a number of seconds`);
  return Number(text);
}
