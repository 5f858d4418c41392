import type { Writable } from 'node:stream';
import { printTable } from '../output.ts';

/** The annotation that tells a pod's networks. */
export const STATUS_ANNOTATION = 'k8s.v1.cni.cncf.io/network-status';

interface NetworkStatus {
  name: string;
  interface: string;
  ips: string[];
  mac?: string;
  'device-info'?: { pci?: { 'pci-address'?: string } };
}

/** @param text JSON as in that annotation */
export function printNetworks(stdout: Writable, text: string): void {
  const networks = JSON.parse(text) as NetworkStatus[];
  printTable(
    stdout,
    ['NETWORK', 'INTERFACE', 'ADDRESSES', 'MAC', 'DEVICE'],
    networks.map(({ name, interface: ifName, ips, mac = '', 'device-info': info }) => [
      ...[name, ifName, ips.join(','), mac, info?.pci?.['pci-address'] ?? ''],
    ]),
  );
}
