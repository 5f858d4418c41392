import { CniError } from './errors.ts';

const namePattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
const IFNAMSIZ = 16;

/** @throws CniError invalid-environment */
export function validateContainerId(containerID: string): void {
  if (containerID === '') throw new CniError('unknown-container', 'missing containerID');
  if (!namePattern.test(containerID)) {
    throw new CniError('invalid-environment', 'invalid characters in containerID', { details: containerID });
  }
}

/** @throws CniError invalid-network-config */
export function validateNetworkName(name: string): void {
  if (name === '') throw new CniError('invalid-network-config', 'missing network name');
  if (!namePattern.test(name)) {
    throw new CniError('invalid-network-config', 'invalid characters found in network name', {
      details: name,
    });
  }
}

/** The kernel's rules for interface names. @throws CniError invalid-environment */
export function validateIfName(ifName: string): void {
  const fail = (msg: string, details = ''): never => {
    throw new CniError('invalid-environment', msg, { details });
  };
  if (ifName === '') fail('interface name is empty');
  if (Buffer.byteLength(ifName) >= IFNAMSIZ) {
    fail('interface name is too long', `interface name should be less than ${IFNAMSIZ} characters`);
  }
  if (ifName === '.' || ifName === '..') fail('interface name is . or ..');
  if (/[/:\s]/.test(ifName)) {
    fail('interface name contains / or : or whitespace characters');
  }
}

/** @throws CniError invalid-environment for a path that no variable can hold */
export function validateNetns(netns: string): void {
  if (netns.includes('\0')) throw new CniError('invalid-environment', 'netns contains a NUL byte');
}

/** CNI_ARGS has no way to quote its separators. @throws CniError invalid-environment */
export function validateArgs(args: readonly (readonly [string, string])[]): void {
  for (const [key, value] of args) {
    if (/[=;\0]/.test(key) || /[;\0]/.test(value)) {
      throw new CniError(
        'invalid-environment',
        `invalid argument ${JSON.stringify(key)}: got ${JSON.stringify(value)}, want text without ";" and NUL`,
      );
    }
  }
}

/** A plugin's type is a file name. @throws CniError invalid-network-config */
export function validatePluginType(type: string): void {
  if (
    type === '' ||
    type.includes('/') ||
    type.includes('\\') ||
    type === '.' ||
    type === '..' ||
    type.includes('\0')
  ) {
    throw new CniError('invalid-network-config', `invalid plugin name: ${type}`);
  }
}
