import type { AgentTable } from '../../config.ts';
import { agentFields, agentSettings } from '../agent/agent-settings.ts';
import { refusedValue, type Source, unknownKey } from './refused-value.ts';
import { keyOf, refusalOf, type Setting } from './setting.ts';

/** What the table has beside the settings of the agent. */
export const enabledSetting: Setting<boolean> = {
  default: false,
  help: 'run the network agent inside the daemon; the flag is --agent',
};
const fieldsByKey = new Map<string, keyof AgentTable>([
  ['enabled', 'enabled'],
  ...agentFields.map((field) => [keyOf(field), field] as const),
]);

/**
 * Reads a table `[agent]` on top of what was read before.
 * @throws CriError invalid-argument naming file, line, key and value
 */
export function readAgentTable(source: Source, table: unknown, before: AgentTable): AgentTable {
  if (typeof table !== 'object' || table === null || Array.isArray(table)) {
    throw refusedValue(source, { path: ['agent'], value: table, why: 'must be a table [agent]' });
  }
  const read: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(table)) {
    const field = fieldsByKey.get(key);
    const setting: Setting | undefined = field === 'enabled' ? enabledSetting : field && agentSettings[field];
    const why = setting === undefined ? unknownKey(key, [...fieldsByKey.keys()]) : refusalOf(setting, value);
    if (field === undefined || why !== undefined)
      throw refusedValue(source, { path: ['agent', key], value, why: why! });
    read[field] = value;
  }
  return { ...before, ...read };
}
