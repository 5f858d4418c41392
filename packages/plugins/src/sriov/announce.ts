import { setTimeout as sleep } from 'node:timers/promises';
import type { Result } from '@amphipod/cni';
import { PacketSocket } from '@amphipod/linux';
import { ipToBytes, type Link, linkGet, parseCidr, parseMac } from '@amphipod/netlink';
import type { Pod } from '../lib/host.ts';

const CARRIER_STEPS = 20;
const CARRIER_STEP_MS = 10;
const ETH_P_ARP = 0x0806;
const BROADCAST = Buffer.alloc(6, 0xff);
/** Hardware Ethernet, protocol IPv4, their sizes, a request. */
const ARP_HEADER = Buffer.from('0001080006040001', 'hex');

/** Waits up to 200 ms for the carrier, which comes a moment after the interface is up; what is sent before is lost. */
export async function waitForCarrier(pod: Pod, ifIndex: number): Promise<boolean> {
  for (let step = 0; ; step++) {
    if (linkGet(pod.rtnl, ifIndex).flags.lowerUp) return true;
    if (step >= CARRIER_STEPS) return false;
    await sleep(CARRIER_STEP_MS);
  }
}

/** Tells the neighbours of the IPv4 addresses (RFC 5227 ARP announcement); those of IPv6 the kernel tells. */
export function announce(pod: Pod, { ifIndex, mac }: Link, { ips = [] }: Result): void {
  const addresses = ips.map(({ address }) => parseCidr(address).ip).filter(({ family }) => family === 4);
  if (addresses.length === 0) return;
  const sender = parseMac(mac);
  pod.run<void>(() => {
    using socket = new PacketSocket({ ifIndex, etherType: ETH_P_ARP, filter: [{ code: 6, k: 0 }] });
    for (const address of addresses) {
      const ip = ipToBytes(address);
      socket.send(Buffer.concat([ARP_HEADER, sender, ip, Buffer.alloc(6), ip]), BROADCAST);
    }
  });
}
