import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { networkInterfaces } from 'node:os';

/** What of the machine's network the demonstration takes for itself while it runs. */
export interface NetworkPlan {
  bridge: string;
  /** The first three numbers: `10.88.0`. */
  prefix: string;
  hostPort: number;
}

/** Chooses a bridge name, a subnet and a port that nobody uses. */
export async function planNetwork(preferredPort: number): Promise<NetworkPlan & Disposable> {
  const claim = await claimNumber();
  const bridge = `amphipod${claim.number}`;
  const prefix = freePrefix(claim.number);
  return {
    bridge,
    prefix,
    hostPort: await freePort(preferredPort),
    [Symbol.dispose]: () => claim.server.close(),
  };
}

// The bridge appears only with the first pod: until then an abstract socket holds its name against a second
// demonstration in the same network namespace. It goes with the process.
async function claimNumber(): Promise<{ number: number; server: Server }> {
  const taken = new Set(Object.keys(networkInterfaces()));
  for (let number = 0; number < 100; number++) {
    if (taken.has(`amphipod${number}`) || hasLink(`amphipod${number}`)) continue;
    const server = await listen({ path: `\0amphipod-demo-${number}` });
    if (server !== undefined) return { number, server: server.unref() };
  }
  throw new Error('choose bridge: the names amphipod0 to amphipod99 are all taken');
}

// networkInterfaces() of Node.js leaves out links that are down.
function hasLink(name: string): boolean {
  return readFileSync('/proc/net/dev', 'utf8').includes(`${name}:`);
}

function listen(options: { path: string } | { port: number; host: string }): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE' || error.code === 'EACCES' ? resolve(undefined) : reject(error),
    );
    server.listen(options, () => resolve(server));
  });
}

/** A /24 in 10.88.0.0/16 that no route of the machine reaches into; two demonstrations begin at different numbers. */
function freePrefix(start: number): string {
  const routes = ipv4Routes(readFileSync('/proc/net/route', 'utf8'));
  for (let i = 0; i < 256; i++) {
    const third = (start + i) % 256;
    const network = ((10 << 24) | (88 << 16) | (third << 8)) >>> 0;
    const overlaps = routes.some(({ destination, mask }) => {
      const common = (mask & 0xffffff00) >>> 0;
      return (network & common) >>> 0 === (destination & common) >>> 0;
    });
    if (!overlaps) return `10.88.${third}`;
  }
  throw new Error('choose subnet: routes cover every /24 of 10.88.0.0/16');
}

/** Destinations and masks of /proc/net/route without the default route; the file holds them in the byte order of the host. */
function ipv4Routes(text: string): { destination: number; mask: number }[] {
  return text
    .split('\n')
    .slice(1)
    .filter((line) => line !== '')
    .map((line) => line.split('\t'))
    .map((fields) => ({ destination: hostOrder(fields[1] ?? ''), mask: hostOrder(fields[7] ?? '') }))
    .filter(({ mask }) => mask !== 0);
}

function hostOrder(hex: string): number {
  return Buffer.from(hex, 'hex').readUInt32LE();
}

async function freePort(preferred: number): Promise<number> {
  for (const port of [preferred, 0]) {
    const server = await listen({ port, host: '0.0.0.0' });
    if (server === undefined) continue;
    const address = server.address();
    await new Promise((resolve) => server.close(resolve));
    if (address !== null && typeof address === 'object') return address.port;
  }
  throw new Error('choose port: none is free');
}

/** The first address by which other machines reach this one, if it has any. */
export function machineAddress(exceptBridge: string): string | undefined {
  return Object.entries(networkInterfaces())
    .filter(([name]) => name !== exceptBridge)
    .flatMap(([, addresses]) => addresses ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
}

/** The configuration list of the pod network. */
export function networkConfig({ bridge, prefix }: NetworkPlan, dataDir: string): object {
  return {
    cniVersion: '1.0.0',
    name: bridge,
    plugins: [
      {
        type: 'bridge',
        bridge,
        isGateway: true,
        ipMasq: true,
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          dataDir,
          ranges: [[{ subnet: `${prefix}.0/24` }]],
          routes: [{ dst: '0.0.0.0/0' }],
        },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  };
}
