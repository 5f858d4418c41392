import { type IpamBlockResource, listResources } from '@amphipod/fabric';
import { cidrSize, contains, parseCidr } from '@amphipod/netlink';
import { defineCommand } from '../../command.ts';
import { printTable } from '../../output.ts';
import { datastoreOptions, withDatastore } from '../datastore-options.ts';

export const command = defineCommand({
  name: 'net ipam show',
  summary: 'Show pools and blocks, and how much of them is taken',
  operands: '',
  arity: [0, 0],
  isLocal: true,
  options: { 'show-blocks': { type: 'boolean', help: 'a line for each block as well' }, ...datastoreOptions },
  async run(_operands, { 'show-blocks': hasBlocks = false, ...values }, { env, stdout }) {
    return await withDatastore(values, env, async (store) => {
      const [{ resources: pools }, { resources: blocks }] = await Promise.all([
        listResources(store, 'IPPool'),
        listResources(store, 'IPAMBlock'),
      ]);
      const rows = pools.flatMap(({ metadata, spec }) => {
        const range = parseCidr(spec.cidr);
        const own = blocks.filter(({ spec: block }) => contains(range, parseCidr(block.cidr)));
        const taken = own.reduce((sum, block) => sum + takenOf(block), 0);
        const row = ['IPPool', metadata.name, spec.cidr, '', `${cidrSize(range)}`, `${taken}`];
        return [row, ...(hasBlocks ? own.map(blockRow) : [])];
      });
      printTable(stdout, ['GROUPING', 'NAME', 'CIDR', 'AFFINITY', 'ADDRESSES', 'TAKEN'], rows);
      return 0;
    });
  },
});

function blockRow(block: IpamBlockResource): string[] {
  const { cidr, affinity, allocations } = block.spec;
  return ['Block', block.metadata.name, cidr, affinity ?? '', `${allocations.length}`, `${takenOf(block)}`];
}

function takenOf({ spec }: IpamBlockResource): number {
  return spec.allocations.filter((index) => index !== null).length;
}
