import { stringify } from 'smol-toml';
import { fields, keyOf, settings } from './settings.ts';

/** Every setting with its default and what it means, as a file to start from: each one commented out. */
export function defaultConfig(): string {
  const entries = fields.flatMap((field) => {
    const setting = settings[field];
    if (setting.isInternal) return [];
    if (setting.isFileOnly) return [`# ${setting.help}\n`];
    const [line] = stringify({ [keyOf(field)]: setting.default })
      .trimEnd()
      .split('\n');
    return [`# ${setting.help}\n#${line}\n`];
  });
  return `# Settings of amphipod up. A line that is commented out shows the default.\n\n${entries.join('\n')}`;
}
