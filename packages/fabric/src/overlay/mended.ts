/** Numbers of differences between the kernel and the wanted state that were mended; `peer`: what is known of nodes behind a device. */
export type Mended = Record<'rules' | 'device' | 'peer' | 'route', number>;

export function nothingMended(): Mended {
  return { rules: 0, device: 0, peer: 0, route: 0 };
}

/** All kinds together. */
export function totalMended({ rules, device, peer, route }: Mended): number {
  return rules + device + peer + route;
}
