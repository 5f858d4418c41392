import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Cni, type CniOptions, createCni } from './cni.ts';
import type { CniError } from './errors.ts';
import type { NetworkConfigList } from './network-config.ts';
import { parseNetworkConfigList } from './parse-network-config.ts';

/** For tests: a directory with plugins that are shell scripts, and a library that uses them. */
export class PluginLab implements Disposable {
  readonly dir: string;
  readonly warnings: string[] = [];

  constructor() {
    this.dir = mkdtempSync(join(tmpdir(), 'cni-lab-'));
    mkdirSync(join(this.dir, 'bin'));
  }

  /** A plugin that notes its call and its stdin, then runs `script`; $IN is the file with its stdin. */
  plugin(type: string, script = 'echo "{\\"ips\\":[{\\"address\\":\\"10.1.2.3/24\\"}]}"'): void {
    const text = `#!/bin/sh
dir='${this.dir}'
echo "${type} $CNI_COMMAND $CNI_CONTAINERID $CNI_IFNAME $CNI_ARGS" >>"$dir/calls"
IN="$dir/${type}.$CNI_COMMAND"
cat >"$IN"
[ "$CNI_COMMAND" != VERSION ] || { echo '{"cniVersion":"1.1.0","supportedVersions":["0.4.0","1.0.0","1.1.0"]}'; exit 0; }
${script}
`;
    this.pluginFile(type, text);
  }

  /** A plugin that is this script and nothing more. */
  pluginFile(type: string, text: string): void {
    const path = join(this.dir, 'bin', type);
    writeFileSync(path, text);
    chmodSync(path, 0o755);
  }

  remove(type: string): void {
    rmSync(join(this.dir, 'bin', type));
  }

  /** Waits until a plugin has made a file. */
  async until(name: string): Promise<void> {
    while (!existsSync(join(this.dir, name))) await new Promise((resolve) => setTimeout(resolve, 10));
  }

  /** `TYPE COMMAND CONTAINER IFNAME ARGS` of each call so far, which are then forgotten. */
  calls(): string[] {
    const path = join(this.dir, 'calls');
    try {
      return readFileSync(path, 'utf8')
        .trim()
        .split('\n')
        .map((line) => line.trim());
    } catch {
      return [];
    } finally {
      rmSync(path, { force: true });
    }
  }

  /** What the plugin got, byte by byte. */
  stdinText(type: string, command: string): string {
    return readFileSync(join(this.dir, `${type}.${command}`), 'utf8');
  }

  stdin(type: string, command: string): Record<string, unknown> {
    return JSON.parse(this.stdinText(type, command)) as Record<string, unknown>;
  }

  list(more: object, cniVersion = '1.1.0'): NetworkConfigList {
    return parseNetworkConfigList(JSON.stringify({ cniVersion, name: 'lab', ...more }));
  }

  cni(options: Partial<CniOptions> = {}): Cni {
    return createCni({
      pluginDirs: [join(this.dir, 'bin')],
      cacheDir: join(this.dir, 'cache'),
      onWarning: (message) => this.warnings.push(message),
      ...options,
    });
  }

  cacheFile(containerID: string, ifName = 'eth0'): string {
    return join(this.dir, 'cache', 'results', `lab-${containerID}-${ifName}`);
  }

  [Symbol.dispose](): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** The error that a call ends with. @throws when it succeeds */
export async function rejection<T extends Error>(promise: Promise<unknown>): Promise<T> {
  try {
    await promise;
  } catch (error) {
    return error as T;
  }
  throw new Error('the call succeeded');
}

/** The message of the CniError that a call throws. */
export function messageOf(parse: () => unknown): string {
  try {
    parse();
  } catch (error) {
    assert.equal((error as Error).name, 'CniError');
    return (error as CniError).message;
  }
  throw new Error('it was accepted');
}
