// For the kernel tests of @amphipod/netlink: network namespaces that go away with the test.
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createPinnedNamespaces, unpinNamespace } from '@amphipod/linux';

export interface TestNetns extends Disposable {
  pin: string;
  fd: number;
  /** Output of a command that runs inside. */
  run(command: string, ...args: string[]): string;
}

/** A new, empty network namespace. */
export function createTestNetns(): TestNetns {
  const dir = mkdtempSync(join(tmpdir(), 'netlink-test-'));
  const pin = join(dir, 'net');
  createPinnedNamespaces({ net: pin });
  const fd = openSync(pin, 'r');
  return {
    pin,
    fd,
    run: (command, ...args) =>
      execFileSync('nsenter', [`--net=${pin}`, command, ...args], {
        encoding: 'utf8',
        stdio: 'pipe',
      }).trimEnd(),
    [Symbol.dispose]() {
      closeSync(fd);
      unpinNamespace(pin);
      rmSync(dir, { recursive: true });
    },
  };
}

/** What a command of iproute2 prints with -j. */
export function ipJson(netns: TestNetns, ...args: string[]): Record<string, unknown>[] {
  return JSON.parse(netns.run('ip', '-j', '-d', ...args) || '[]') as Record<string, unknown>[];
}
