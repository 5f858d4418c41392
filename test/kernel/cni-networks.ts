// Networks of a test's own, and the command line that works on them.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pluginBinDir } from '@amphipod/plugins';
import { World } from '../conformance/lib/world.ts';

export const program = join(import.meta.dirname, '../../bin/amphipod');

export interface Ending {
  code: number | null;
  out: string;
  err: string;
}

/** A directory of networks, and the command line that works on it as with cnitool's variables. */
export class Networks extends World {
  readonly confDir = this.makeDir('net.d');
  readonly cacheDir = this.makeDir('cache');

  constructor() {
    super();
    this.write('10-pods.conflist', {
      cniVersion: '1.1.0',
      name: 'pods',
      plugins: [
        {
          type: 'bridge',
          bridge: 'cmd0',
          isGateway: true,
          ipMasq: true,
          ipam: { type: 'host-local', subnet: '10.98.0.0/29', dataDir: this.dataDir },
        },
        { type: 'portmap', capabilities: { portMappings: true } },
      ],
    });
  }

  write(name: string, config: object): string {
    const path = join(this.confDir, name);
    writeFileSync(path, JSON.stringify(config));
    return path;
  }

  amphipod(args: string[], env: Record<string, string> = {}): Ending {
    const { status, stdout, stderr } = spawnSync(program, ['cni', ...args], {
      encoding: 'utf8',
      env: { PATH: process.env.PATH, NETCONFPATH: this.confDir, CNI_PATH: pluginBinDir, ...env },
      timeout: 120_000,
    });
    return { code: status, out: stdout, err: stderr };
  }

  /** With the cache in the test's directory. */
  call(verb: string, operands: string[], env?: Record<string, string>): Ending {
    return this.amphipod([verb, '--cache-dir', this.cacheDir, ...operands], env);
  }
}

/** CAP_ARGS with one port. */
export const ports = JSON.stringify({
  portMappings: [{ hostPort: 18080, containerPort: 80, protocol: 'tcp' }],
});
/** Success without a word. */
export const nothing: Ending = { code: 0, out: '', err: '' };
