import { isYoungerThan, readAddressUse, repair } from '@amphipod/fabric';
import { defineCommand } from '../../command.ts';
import { datastoreOptions, withDatastore } from '../datastore-options.ts';
import { minAgeOption, readSeconds } from './settling.ts';

const SETTLE_SECONDS = 10;

export const command = defineCommand({
  name: 'net ipam repair',
  summary: 'Mend what check finds',
  operands: '',
  arity: [0, 0],
  isLocal: true,
  options: {
    settle: { type: 'string', value: 'SECONDS', help: `between two looks (${SETTLE_SECONDS})` },
    ...minAgeOption,
    ...datastoreOptions,
  },
  details: `Looks twice and mends what is the same both times; nothing is written over what has changed since, so it can be run at any
time. Exit code 1 when something is left: what changed at that moment, or what nothing can be done for.`,
  async run(_operands, { settle, 'min-age': minAge, ...values }, { env, stdout }) {
    const ageMs = readSeconds('--min-age', minAge, minAgeOption['min-age'].seconds) * 1000;
    const settleMs = readSeconds('--settle', settle, SETTLE_SECONDS) * 1000;
    return await withDatastore(values, env, async (store) => {
      const use = () => readAddressUse({ store });
      const isYoung = isYoungerThan(ageMs, Date.now());
      const { mended, left } = await repair({ store }, { use, isYoung, settleMs });
      for (const { text } of mended) stdout.write(`mended: ${text}\n`);
      for (const { text } of left) stdout.write(`left: ${text}\n`);
      stdout.write(`${mended.length} mended, ${left.length} left\n`);
      return left.length === 0 ? 0 : 1;
    });
  },
});
