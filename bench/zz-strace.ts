import { builtinPlugins, pluginBinDir } from '@amphipod/plugins';
import { createInvoker, type NetConf } from '@amphipod/cni';
import { mkdtempSync, existsSync } from 'node:fs';
const invoker = createInvoker({ pluginDirs: [pluginBinDir], inProcess: builtinPlugins(), ownGroup: false });
const dataDir = mkdtempSync('/tmp/ipamst-');
const config: NetConf = { cniVersion: '1.0.0', name: 'n', type: 'host-local', ipam: { type: 'host-local', subnet: '10.77.0.0/16', dataDir } };
const s = new AbortController().signal;
const req = (id: string) => ({ containerID: id, netns: '/dummy', ifName: 'eth0', args: '', config, prevResult: undefined, validAttachments: undefined });
for (let i = 0; i < 20; i++) await invoker.call('host-local', 'ADD', req('k' + i), s);
const add: number[] = [], del: number[] = [];
for (let i = 0; i < 500; i++) {
  if (i === 499) existsSync('/MARK-ADD');
  const a = performance.now();
  await invoker.call('host-local', 'ADD', req('c' + i), s);
  const b = performance.now();
  if (i === 499) existsSync('/MARK-DEL');
  await invoker.call('host-local', 'DEL', req('c' + i), s);
  const c = performance.now();
  if (i === 499) existsSync('/MARK-END');
  add.push(b - a); del.push(c - b);
}
const med = (x: number[]) => x.toSorted((p, q) => p - q)[x.length >> 1]!;
console.log('add', med(add.slice(200)).toFixed(3), 'del', med(del.slice(200)).toFixed(3));
