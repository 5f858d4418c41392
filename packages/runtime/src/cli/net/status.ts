import type { AgentState, NodeState } from '@amphipod/fabric';
import { defineCommand, outputOption } from '../command.ts';
import { formatAge, outputFormat, printJson, printTable } from '../output.ts';
import { agentSocketOption, askAgent } from './ask-agent.ts';

export const command = defineCommand({
  name: 'net status',
  summary: 'Show the overlay of this node: lease, devices, other nodes, what was mended',
  operands: '',
  arity: [0, 0],
  isLocal: true,
  options: { ...agentSocketOption, ...outputOption },
  details: `Asks the network agent; needs root.

Examples:
  amphipod net status
  amphipod net status -o json | jq .overlay.nodes`,
  async run(_operands, options, { stdout }) {
    const format = outputFormat(options.output);
    const state = await askAgent(options['control-socket']);
    if (format === 'json') {
      printJson(stdout, state);
      return 0;
    }
    printTable(
      stdout,
      ['PROPERTY', 'VALUE'],
      [...agentRows(state), ...overlayRows(state), ...workRows(state)],
    );
    const nodes = state.overlay?.nodes ?? [];
    if (nodes.length === 0) return 0;
    stdout.write('\n');
    printTable(stdout, ['NODE', 'SUBNETS', 'BACKEND', 'VIA', 'PASSED OVER'], nodes.map(nodeRow));
    return 0;
  },
});

function agentRows({ phase, why, health, datastore, startedAt }: AgentState): string[][] {
  const isReady = health.unready.length === 0;
  return [
    ['agent', `${phase}${why === undefined ? '' : `: ${why}`}, started ${ago(startedAt)}`],
    ['ready', isReady ? 'yes' : `no: ${health.unready.join('; ')}`],
    ['datastore', datastore],
  ];
}

function overlayRows({ overlay }: AgentState): string[][] {
  if (overlay === undefined) return [];
  const { backend, vni, underlay, subnet, ipv6Subnet, expires, mtu, devices } = overlay;
  const subnets = [subnet, ipv6Subnet].filter((one) => one !== undefined).join(', ');
  const addresses = [underlay.ip, underlay.ipv6].filter((one) => one !== undefined).join(', ');
  return [
    ['backend', vni === undefined ? backend : `${backend}, VNI ${vni}`],
    ['underlay', `${underlay.interface}, ${addresses}, MTU ${underlay.mtu}`],
    ['subnet', `${subnets}${expires ? '' : ' (does not run out)'}`],
    ['MTU of pods', String(mtu)],
    ...devices.map(({ name, mtu: deviceMtu, addresses, peers }) => [
      'device',
      `${name}, ${addresses.join(', ')}, MTU ${deviceMtu}, ${peers} ${peers === 1 ? 'peer' : 'peers'}`,
    ]),
  ];
}

function workRows({ sync, store }: AgentState): string[][] {
  const { count, failures, lastGoodAt, lastMs, mended, lastMendedAt, error } = sync;
  const kinds = Object.entries(mended);
  const took = lastMs === undefined ? '' : ` in ${lastMs.toFixed(1)} ms`;
  const failed = error === undefined ? '' : `; the last one failed: ${error}`;
  return [
    ['last sync', `${ago(lastGoodAt)}${took}, ${count} in all, ${failures} failed${failed}`],
    [
      'mended',
      kinds.length === 0
        ? 'nothing'
        : `${kinds.map(([kind, n]) => `${kind} ${n}`).join(', ')}; last ${ago(lastMendedAt)}`,
    ],
    [
      'lease',
      `renewed ${ago(store.lastRenewedAt)}; ${store.errors} errors of the datastore${store.error === undefined ? '' : `, now: ${store.error}`}`,
    ],
  ];
}

function ago(at: string | undefined): string {
  return at === undefined ? 'never' : `${formatAge(BigInt(Date.parse(at)) * 1_000_000n)} ago`;
}

function nodeRow({
  id,
  publicIp,
  publicIpv6,
  subnet,
  ipv6Subnet,
  backend,
  via,
  passedOver,
}: NodeState): string[] {
  const list = (texts: readonly (string | undefined)[]) =>
    texts.filter((text) => text !== undefined).join(', ') || '-';
  return [
    list([isName(id) ? id : undefined, publicIp, publicIpv6]),
    list([subnet, ipv6Subnet]),
    backend,
    via,
    passedOver.join('; ') || '-',
  ];
}

/** Keys of a datastore tell nothing that is not in the next column. */
function isName(id: string): boolean {
  return !id.startsWith('/');
}
