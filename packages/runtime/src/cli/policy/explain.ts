import type { PolicyWorld } from '@amphipod/fabric/policy';
import { defineCommand, outputOption } from '../command.ts';
import { CliError, UsageError } from '../errors.ts';
import { outputFormat, printJson } from '../output.ts';
import { loadWorld, protocols, worldOptions } from './load-world.ts';

const MAX_PORT = 65_535;
/** Of an echo request. */
const ECHO = { icmp: 8, icmpv6: 128 } as Record<string, number>;

export const command = defineCommand({
  name: 'policy explain',
  summary: 'Say whether a pod may reach another, by which rule, and what would change it',
  operands: '',
  arity: [0, 0],
  options: {
    from: { type: 'string', value: 'POD|IP', help: 'who begins: [NAMESPACE/]NAME of a pod, or an address' },
    to: { type: 'string', value: 'POD|IP', help: 'who is to be reached' },
    port: { type: 'string', value: 'N', help: 'destination port' },
    protocol: { type: 'string', value: 'NAME', help: 'tcp (default), udp, sctp, icmp or icmpv6' },
    ...worldOptions,
    ...outputOption,
  },
  details: `Exits with 0 when the flow is allowed and with 1 when it is denied. What is explained is what the policies say; amphipod up
--policy-dir puts just that into the kernel.

Examples:
  amphipod policy explain --from shop/client --to shop/web --port 8080
  amphipod policy explain --policy-dir ./policies --offline --from 192.0.2.1 --to web --port 53 --protocol udp`,
  async run(_operands, values, context) {
    const format = outputFormat(values.output);
    const { from, to, protocol = 'tcp' } = values;
    if (from === undefined || to === undefined) throw new UsageError('give --from and --to');
    const number = protocols[protocol];
    if (number === undefined)
      throw new UsageError(`--protocol ${protocol}: must be tcp, udp, sctp, icmp or icmpv6`);
    const port = portOf(values.port, protocol);
    const { world, problems } = await loadWorld(values, context);
    for (const problem of problems) context.stderr.write(`${problem.message}\n`);
    const { explainFlow } = await import('@amphipod/fabric/policy');
    const type = ECHO[protocol];
    const packet = {
      ...(await endsOf(world, from, to)),
      protocol: number,
      ...(port === undefined ? {} : { srcPort: 0, dstPort: port }),
      ...(type === undefined ? {} : { icmp: { type, code: 0 } }),
    };
    const explanation = explainFlow(world, packet);
    if (format === 'json') printJson(context.stdout, explanation);
    else {
      context.stdout.write(`${explanation.isAllowed ? 'allowed' : 'denied'}\n`);
      for (const { direction, pod, why, hint } of explanation.ends) {
        context.stdout.write(
          `  ${direction} of ${pod}: ${why}\n${hint === undefined ? '' : `    ${hint}\n`}`,
        );
      }
    }
    return explanation.isAllowed ? 0 : 1;
  },
});

function portOf(text: string | undefined, protocol: string): number | undefined {
  if (ECHO[protocol] !== undefined) {
    if (text !== undefined) throw new UsageError(`--port: ${protocol} has no ports`);
    return undefined;
  }
  if (text === undefined) throw new UsageError('give --port');
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > MAX_PORT) {
    throw new UsageError(`--port ${text}: must be a number from 1 to ${MAX_PORT}`);
  }
  return port;
}

/** Addresses of one family, that which both ends have. @throws CliError */
export async function endsOf(world: PolicyWorld, from: string, to: string) {
  const { findEnd } = await import('@amphipod/fabric/policy');
  try {
    const [sources, destinations] = [findEnd(world, from), findEnd(world, to)];
    for (const src of sources) {
      const dst = destinations.find(({ family }) => family === src.family);
      if (dst !== undefined) return { src, dst };
    }
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new CliError(error.message, { cause: error });
  }
  throw new CliError(`find a way from ${from} to ${to}: they have no address family in common`);
}
