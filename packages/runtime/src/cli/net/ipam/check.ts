import { findMistakes, isYoungerThan, observe, readAddressUse } from '@amphipod/fabric';
import { defineCommand } from '../../command.ts';
import { datastoreOptions, withDatastore } from '../datastore-options.ts';
import { minAgeOption, readSeconds } from './settling.ts';

export const command = defineCommand({
  name: 'net ipam check',
  summary: 'Look for addresses and records that do not fit together',
  operands: '',
  arity: [0, 0],
  isLocal: true,
  options: { ...minAgeOption, ...datastoreOptions },
  details: `Addresses that no WorkloadEndpoint and no node uses, addresses in use that are not allocated or that two have, handles that
count wrongly, blocks and affinities that do not know of each other. Changes nothing; exit code 1 when there is something. While pods
come and go, what is under way can look like a mistake: "repair" looks twice.`,
  async run(_operands, { 'min-age': minAge, ...values }, { env, stdout }) {
    const ageMs = readSeconds('--min-age', minAge, minAgeOption['min-age'].seconds) * 1000;
    return await withDatastore(values, env, async (store) => {
      // What is in use first: an address that is allocated after it is not missed.
      const use = await readAddressUse({ store });
      const seen = await observe({ store });
      const found = findMistakes(seen, { use, isYoung: isYoungerThan(ageMs, Date.now()) });
      for (const { type, text } of found) stdout.write(`${type}: ${text}\n`);
      stdout.write(
        `${seen.blocks.size} blocks, ${seen.handles.size} handles, ${use.size} addresses in use: ${found.length} mistakes\n`,
      );
      return found.length === 0 ? 0 : 1;
    });
  },
});
