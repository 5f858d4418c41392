// What tests ask of a configuration.
import assert from 'node:assert/strict';
import { parseCidr } from '@amphipod/netlink';
import type { BgpFacts } from './bgp-facts.ts';
import type { BirdBgp } from './bird-config.ts';
import { type JudgedRoute, judgeRoute, type Verdict } from './judge-route.ts';
import { localPrefOf } from './local-pref.ts';
import { testFacts } from './testing.ts';
import { type WantedBird, wantedBird } from './wanted-bird.ts';

export function wanted(more: Partial<BgpFacts> = {}): WantedBird {
  return wantedBird(testFacts(more))!;
}

export function names(more: Partial<BgpFacts>): string[] {
  return wanted(more).sessions.map(({ bgp }) => bgp.name);
}

export function session(bird: WantedBird, name: string): BirdBgp {
  const found = bird.sessions.find(({ bgp }) => bgp.name === name);
  assert.ok(found, `there is ${name} in ${bird.sessions.map(({ bgp }) => bgp.name)}`);
  return found.bgp;
}

export function route(network: string, more: Partial<JudgedRoute> = {}): JudgedRoute {
  const base = { source: 'other', isUnicast: true, communities: [], asPath: [] } as const;
  return { network: parseCidr(network), ...base, ...more };
}

export const exported = (bird: WantedBird, to: string, one: JudgedRoute): Verdict =>
  judgeRoute(bird.config, session(bird, to).exportFilter, one);
export const imported = (bird: WantedBird, from: string, one: JudgedRoute): Verdict =>
  judgeRoute(bird.config, session(bird, from).importFilter, one);
export const toKernel = (bird: WantedBird, one: JudgedRoute): Verdict =>
  judgeRoute(bird.config, `to_kernel${one.network.ip.family}`, one);
export const fromBgp = { source: 'bgp', localPref: localPrefOf(1024) } as const;
