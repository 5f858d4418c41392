/** What a CDI spec file changes about a container (cncf-tags/container-device-interface, SPEC.md, "containerEdits"). */
export interface ContainerEdits {
  env?: string[];
  deviceNodes?: CdiDeviceNode[];
  mounts?: { hostPath: string; containerPath: string; options?: string[]; type?: string }[];
  hooks?: CdiHook[];
  additionalGids?: number[];
  intelRdt?: Record<string, unknown>;
}

export interface CdiDeviceNode {
  path: string;
  /** Default: `path`. */
  hostPath?: string;
  type?: string;
  major?: number;
  minor?: number;
  fileMode?: number;
  permissions?: string;
  uid?: number;
  gid?: number;
}

export interface CdiHook {
  hookName: string;
  path: string;
  args?: string[];
  env?: string[];
  timeout?: number;
}

/** A spec file: devices of one kind, `vendor/class`. */
export interface CdiSpec {
  kind: string;
  devices: { name: string; containerEdits?: ContainerEdits }[];
  /** For every container with a device of this file. */
  containerEdits?: ContainerEdits;
}

const editKeys = ['env', 'deviceNodes', 'mounts', 'hooks', 'additionalGids', 'intelRdt'];
const hookNames = ['prestart', 'createRuntime', 'createContainer', 'startContainer', 'poststart', 'poststop'];

/**
 * Checks what was read from a spec file.
 * @returns it, typed
 * @throws Error that names the key and what is wrong
 */
export function checkCdiSpec(value: unknown): CdiSpec {
  const spec = value as CdiSpec & { cdiVersion?: unknown };
  if (typeof value !== 'object' || value === null) throw new Error('is not an object');
  if (typeof spec.cdiVersion !== 'string') throw new Error('cdiVersion: missing');
  if (!/^[A-Za-z][\w.-]*\/[A-Za-z][\w-]*$/.test(spec.kind ?? ''))
    throw new Error(`kind ${JSON.stringify(spec.kind)}: must be VENDOR/CLASS`);
  if (!Array.isArray(spec.devices)) throw new Error('devices: must be a list');
  checkEdits(spec.containerEdits, 'containerEdits');
  for (const device of spec.devices) {
    // YAML makes a number of 0.
    device.name = String(device.name ?? '');
    if (!/^\w([\w.:-]*\w)?$/.test(device.name))
      throw new Error(`devices: name ${JSON.stringify(device.name)} is none`);
    checkEdits(device.containerEdits, `devices ${device.name}: containerEdits`);
  }
  return spec;
}

function checkEdits(edits: ContainerEdits | undefined, where: string): void {
  for (const [key, value] of Object.entries(edits ?? {})) {
    if (!editKeys.includes(key)) throw new Error(`${where}.${key}: not supported`);
    if (key !== 'intelRdt' && !Array.isArray(value)) throw new Error(`${where}.${key}: must be a list`);
  }
  for (const { hookName, path } of edits?.hooks ?? []) {
    if (!hookNames.includes(hookName)) throw new Error(`${where}.hooks: hookName ${hookName}: unknown`);
    if (!path?.startsWith('/')) throw new Error(`${where}.hooks: path ${path}: must be absolute`);
  }
}
