import { parseCidr } from '@amphipod/netlink';
import type { BirdRoute } from './bird-state.ts';
import { type JudgedRoute, judgeRoute } from './judge-route.ts';
import type { WantedBird } from './wanted-bird.ts';
import type { WantedSession } from './wanted-sessions.ts';

/** Whether a route is told to a peer, and the reason. */
export interface Export {
  /** Name of the session. */
  readonly session: string;
  readonly isTold: boolean;
  readonly why: string;
}

/** What becomes of the best of some routes to one network at each peer of its family. */
export function explainExport({ config, sessions }: WantedBird, routes: readonly BirdRoute[]): Export[] {
  const best = routes.find(({ isBest }) => isBest);
  if (best === undefined) return [];
  const route = judgedRoute(best);
  const origin = sessions.find(({ bgp }) => bgp.name === best.protocol);
  const { family } = route.network.ip;
  return sessions
    .filter(({ bgp }) => bgp.family === family)
    .map((to) => {
      const session = to.bgp.name;
      const refused = refusedByProtocol(route, { origin, to });
      if (refused !== undefined) return { session, isTold: false, why: refused };
      const { accepted, why } = judgeRoute(config, to.bgp.exportFilter, route);
      return { session, isTold: accepted, why };
    });
}

/** What BGP itself rules out, before any filter. */
function refusedByProtocol(
  { communities }: JudgedRoute,
  { origin, to }: { origin: WantedSession | undefined; to: WantedSession },
): string | undefined {
  if (origin?.bgp.name === to.bgp.name) return 'the peer told it to us';
  const isReflected =
    to.bgp.routeReflectorClusterId !== undefined || origin?.bgp.routeReflectorClusterId !== undefined;
  if (origin?.sameAs === true && to.sameAs && !isReflected) {
    return 'it comes from a peer of our AS, and only a route reflector passes it on within the AS';
  }
  if (communities.includes('65535:65282')) return 'it has the community no-advertise';
  if (!to.sameAs && communities.includes('65535:65281')) return 'it has the community no-export';
  return undefined;
}

/** A route as filters see it. */
function judgedRoute({ network, source, type, hops, attributes }: BirdRoute): JudgedRoute {
  const list = (key: string) =>
    [...(attributes[key] ?? '').matchAll(/\((\d+(?:, ?\d+)+)\)/g)].map(([, one]) =>
      one!.replaceAll(/, ?/g, ':'),
    );
  const number = (key: string) => {
    const text = attributes[key];
    return text === undefined ? undefined : Number(text);
  };
  const [localPref, metric] = [number('BGP.local_pref'), number('Kernel.metric')];
  const kernelProtocol = number('Kernel.source');
  const interfaceName = hops[0]?.interfaceName;
  return {
    network: parseCidr(network),
    source: source === 'BGP' ? 'bgp' : source === 'static' ? 'static' : 'other',
    isUnicast: type === 'unicast',
    communities: [...list('BGP.community'), ...list('BGP.large_community')],
    asPath: (attributes['BGP.as_path'] ?? '').split(' ').filter(Boolean).map(Number),
    ...(interfaceName !== undefined && { interfaceName }),
    ...(localPref !== undefined && { localPref }),
    ...(metric !== undefined && { metric }),
    ...(kernelProtocol !== undefined && { kernelProtocol }),
  };
}
