import { formatCidr, formatIp } from '@amphipod/netlink';
import type { BirdBgp, BirdConfig, BirdProtocol, BirdStatement } from './bird-config.ts';
import { renderStatement } from './render-filter.ts';

/** A peer that does not answer is asked again after so long. */
const CONNECT_RETRY_SECONDS = 5;
const ERROR_WAIT_SECONDS = '1, 30';
const MAX_LOG_BYTES = 2 ** 20;

/** Writes a configuration out as BIRD 2 reads it. The same value gives the same text. */
export function renderBird(config: BirdConfig): string {
  const { routerId, logLevels, gracefulRestartWaitSeconds, functions, filters, protocols } = config;
  const head = [
    '# Written by the network agent; changes are lost.',
    `log ${logTarget(config)} { ${logLevels.join(', ')} };`,
    `router id ${formatIp(routerId)};`,
    `graceful restart wait ${gracefulRestartWaitSeconds};`,
  ];
  const blocks = [
    ...functions.map(({ name, knowsPeer, body }) =>
      renderBlock(`function '${name}'(${knowsPeer ? 'bool same_as' : ''})`, renderBody(body)),
    ),
    ...filters.map(({ name, body }) => renderBlock(`filter ${name}`, renderBody(body))),
    ...protocols.map((protocol) =>
      renderBlock(`protocol ${protocol.type} ${protocol.name}`, renderProtocol(protocol)),
    ),
  ];
  return [...head, ...blocks, ''].join('\n');
}

function logTarget({ logFile }: BirdConfig): string {
  return logFile === undefined ? 'stderr' : `"${logFile}" ${MAX_LOG_BYTES} "${logFile}.old"`;
}

/** The sessions of a rendered configuration, by name: where the text of one is another, the session has to begin anew. */
export function sessionsOf(text: string): Map<string, string> {
  return new Map(
    [...text.matchAll(/^protocol bgp (\w+)\n\{\n(.*?)^\}$/gms)].map(([, name, body]) => [name!, body!]),
  );
}

function renderBlock(head: string, lines: readonly string[]): string {
  return [head, '{', ...lines.map((line) => `  ${line}`), '}'].join('\n');
}

function renderBody(body: readonly BirdStatement[]): string[] {
  return body.map(renderStatement);
}

function renderProtocol(protocol: BirdProtocol): string[] {
  switch (protocol.type) {
    case 'device':
      return [`scan time ${protocol.scanSeconds};`];
    case 'direct':
      return ['ipv4;', 'ipv6;', `interface ${protocol.interfaces.map(renderPattern).join(', ')};`];
    case 'kernel': {
      const { family, scanSeconds, importFilter, exportFilter } = protocol;
      const channel = `ipv${family} { import filter ${importFilter}; export filter ${exportFilter}; };`;
      return [
        'learn;',
        'persist;',
        `scan time ${scanSeconds};`,
        'graceful restart;',
        'merge paths on;',
        // The routes' own.
        'metric 0;',
        channel,
      ];
    }
    case 'static':
      return [
        `ipv${protocol.family};`,
        ...protocol.routes.map(
          ({ network, via }) =>
            `route ${formatCidr(network)} ${via === undefined ? 'blackhole' : `via ${formatIp(via)}`};`,
        ),
      ];
    case 'bgp':
      return renderBgp(protocol);
  }
}

function renderPattern(pattern: string): string {
  return pattern.startsWith('-') ? `-"${pattern.slice(1)}"` : `"${pattern}"`;
}

function renderBgp(bgp: BirdBgp): string[] {
  const { localAddress, localPort, neighborPort, ttlSecurityHops: hops } = bgp;
  const port = (number: number | undefined) => (number === undefined ? '' : ` port ${number}`);
  const local = localAddress === undefined ? '' : ` ${formatIp(localAddress)}`;
  return [
    `local${local}${port(localPort)} as ${bgp.localAs};`,
    `neighbor ${formatIp(bgp.neighbor)}${port(neighborPort)} as ${bgp.neighborAs};`,
    ...(bgp.strictBind ? ['strict bind on;'] : []),
    ...(hops === undefined ? ['multihop;'] : [`multihop ${hops};`, 'ttl security on;']),
    'connect delay time 1;',
    `connect retry time ${CONNECT_RETRY_SECONDS};`,
    `error wait time ${ERROR_WAIT_SECONDS};`,
    'graceful restart on;',
    ...optionLines(bgp),
    `ipv${bgp.family} {`,
    '  gateway recursive;',
    '  add paths on;',
    ...(bgp.nextHop === 'auto' ? [] : [`  next hop ${bgp.nextHop};`]),
    `  import filter ${bgp.importFilter};`,
    `  export filter ${bgp.exportFilter};`,
    '};',
  ];
}

function optionLines(bgp: BirdBgp): string[] {
  const { restartSeconds, routeReflectorClusterId: clusterId, allowedLocalAs, keepaliveSeconds } = bgp;
  return [
    ...(bgp.passive ? ['passive on;'] : []),
    ...(restartSeconds === undefined ? [] : [`graceful restart time ${restartSeconds};`]),
    ...(clusterId === undefined ? [] : ['rr client;', `rr cluster id ${formatIp(clusterId)};`]),
    ...(allowedLocalAs === undefined ? [] : [`allow local as ${allowedLocalAs};`]),
    ...(keepaliveSeconds === undefined ? [] : [`keepalive time ${keepaliveSeconds};`]),
    ...(bgp.password === undefined ? [] : [`password "${bgp.password}";`]),
  ];
}
