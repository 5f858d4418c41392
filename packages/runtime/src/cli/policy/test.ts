import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { defineCommand } from '../command.ts';
import { CliError } from '../errors.ts';
import { endsOf } from './explain.ts';
import { loadWorld, protocols, worldOptions } from './load-world.ts';

/** One line of the file. */
interface Expectation {
  from: string;
  to: string;
  port: number;
  protocol: string;
  isAllowed: boolean;
}

export const command = defineCommand({
  name: 'policy test',
  summary: 'Run expected connectivity as a test',
  operands: 'FILE',
  arity: [1, 1],
  options: worldOptions,
  details: `FILE is YAML: a list of expectations. Prints each that does not hold with the reason, and exits with 1 then.

  - {from: shop/client, to: shop/web, port: 8080, expect: allow}
  - {from: 192.0.2.1, to: shop/web, port: 53, protocol: udp, expect: deny}

Examples:
  amphipod policy test --policy-dir ./policies --offline expected.yaml`,
  async run([file = ''], values, context) {
    const expectations = readExpectations(file);
    const { world, problems } = await loadWorld(values, context);
    for (const { message } of problems) context.stderr.write(`${message}\n`);
    const { explainFlow } = await import('@amphipod/fabric/policy');
    let failures = 0;
    for (const { from, to, port, protocol, isAllowed } of expectations) {
      const ends = await endsOf(world, from, to);
      const found = explainFlow(world, {
        ...ends,
        protocol: protocols[protocol]!,
        srcPort: 0,
        dstPort: port,
      });
      if (found.isAllowed === isAllowed) continue;
      failures++;
      const why = found.ends.map((end) => `${end.direction} of ${end.pod}: ${end.why}`).join('; ');
      const words = found.isAllowed ? 'allowed, expected denied' : 'denied, expected allowed';
      context.stdout.write(`${from} to ${to} ${protocol} ${port}: ${words}: ${why || 'no end is a pod'}\n`);
    }
    context.stdout.write(`${expectations.length - failures} of ${expectations.length} hold\n`);
    return failures === 0 ? 0 : 1;
  },
});

/** @throws CliError that names file, entry, key and value */
function readExpectations(file: string): Expectation[] {
  let value: unknown;
  try {
    value = parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new CliError(`read expectations ${JSON.stringify(file)}: ${(error as Error).message}`, {
      cause: error,
    });
  }
  if (!Array.isArray(value)) throw new CliError(`read expectations ${JSON.stringify(file)}: must be a list`);
  return value.map((entry, index) =>
    readExpectation(entry, `read expectations ${JSON.stringify(file)} [${index}]`),
  );
}

function readExpectation(entry: unknown, where: string): Expectation {
  const { from, to, port, protocol = 'tcp', expect, ...rest } = (entry ?? {}) as Record<string, unknown>;
  const refuse = (key: string, given: unknown, why: string) =>
    new CliError(`${where}: ${key}: ${JSON.stringify(given) ?? 'missing'}: ${why}`);
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined)
    throw refuse(unknown, rest[unknown], 'unknown key; known are from, to, port, protocol, expect');
  if (typeof from !== 'string') throw refuse('from', from, 'must be a pod or an address');
  if (typeof to !== 'string') throw refuse('to', to, 'must be a pod or an address');
  if (!Number.isInteger(port) || (port as number) < 1 || (port as number) > 65_535) {
    throw refuse('port', port, 'must be a number from 1 to 65535');
  }
  if (protocol !== 'tcp' && protocol !== 'udp' && protocol !== 'sctp') {
    throw refuse('protocol', protocol, 'must be tcp, udp or sctp');
  }
  if (expect !== 'allow' && expect !== 'deny') throw refuse('expect', expect, 'must be allow or deny');
  return { from, to, port: port as number, protocol, isAllowed: expect === 'allow' };
}
