import { stringify } from 'smol-toml';
import { agentFields, agentSettings } from '../agent/agent-settings.ts';
import { enabledSetting } from './read-agent-table.ts';
import { keyOf, type Setting } from './setting.ts';
import { fields, settings } from './settings.ts';

/** Every setting with its default and what it means, as a file to start from: each one commented out. */
export function defaultConfig(): string {
  const entries = fields.flatMap((field) => {
    const setting = settings[field];
    if (setting.isInternal) return [];
    if (setting.isFileOnly) return [`# ${setting.help}\n`];
    return [entryOf(field, setting)];
  });
  const agent = [
    entryOf('enabled', enabledSetting),
    ...agentFields.map((field) => entryOf(field, agentSettings[field])),
  ];
  return `# Settings of amphipod up. A line that is commented out shows the default.

${entries.join('\n')}
# The network agent. Tables come after all other keys.
#[agent]

${agent.join('\n')}`;
}

function entryOf(field: string, { help, default: value }: Pick<Setting, 'help' | 'default'>): string {
  const [line] = stringify({ [keyOf(field)]: value })
    .trimEnd()
    .split('\n');
  return `# ${help}\n#${line}\n`;
}
