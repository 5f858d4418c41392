import { flagOf, type Setting } from './setting.ts';

/** How node:util's parseArgs takes a flag, with what the help shows. */
interface SettingOption {
  type: 'boolean' | 'string';
  value?: string;
  help: string;
}

/** A flag for each setting that one can hold; its default stands behind its help. */
export function settingOptions(settings: Record<string, Setting>): Record<string, SettingOption> {
  return Object.fromEntries(
    Object.entries(settings)
      .filter(([, { isFileOnly }]) => isFileOnly === undefined)
      .map(([field, { placeholder, help, default: value }]) => {
        const shown = String(value);
        return [
          flagOf(field),
          placeholder === undefined
            ? { type: 'boolean', help }
            : { type: 'string', value: placeholder, help: shown === '' ? help : `${help} (${shown})` },
        ];
      }),
  );
}
