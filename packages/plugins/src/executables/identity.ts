/** Who an executable is: written into it, so that a copy needs nothing beside it. */
export interface ExecutableIdentity {
  /** The plugin's type. */
  name: string;
  /** Of this package. */
  version: string;
  /** Socket of the plugin server; empty: none is asked. */
  socket: string;
  /** Directory of the installation; empty: the file lies in ROOT/packages/plugins/bin. */
  root: string;
}

// struct identity of launcher/launcher.c
const magic = '@amphipod/plugins launcher 1';
const fields = [
  { key: 'name', at: 32, size: 64 },
  { key: 'version', at: 96, size: 64 },
  { key: 'socket', at: 160, size: 128 },
  { key: 'root', at: 288, size: 1024 },
] as const satisfies { key: keyof ExecutableIdentity; at: number; size: number }[];
/** A Unix socket's path: sun_path of unix(7) without its final zero. */
const MAX_SOCKET_BYTES = 107;

/**
 * An executable: the launcher (native, or the shell script where there is no compiler) with its identity filled in.
 * @throws RangeError for texts that are too long, or that the shell script cannot hold
 */
export function writeIdentity(launcher: Buffer, identity: ExecutableIdentity): Buffer {
  if (Buffer.byteLength(identity.socket) > MAX_SOCKET_BYTES)
    throw new RangeError(`socket ${JSON.stringify(identity.socket)}: longer than ${MAX_SOCKET_BYTES} bytes`);
  if (isScript(launcher)) return writeScript(launcher, identity);
  const start = launcher.indexOf(`${magic}\0`);
  if (start < 0) throw new RangeError('launcher: not one of this package');
  const executable = Buffer.from(launcher);
  for (const { key, at, size } of fields) {
    const text = Buffer.from(identity[key]);
    if (text.length >= size || text.includes(0))
      throw new RangeError(`${key} ${JSON.stringify(identity[key])}: longer than ${size - 1} bytes`);
    executable.fill(0, start + at, start + at + size);
    text.copy(executable, start + at);
  }
  return executable;
}

/** The identity in an executable of this package, of whatever version; undefined for any other file. */
export function readIdentity(executable: Buffer): ExecutableIdentity | undefined {
  if (isScript(executable)) return readScript(executable.toString());
  const start = executable.indexOf(`${magic}\0`);
  const last = fields.at(-1)!;
  if (start < 0 || executable.length < start + last.at + last.size) return undefined;
  const texts = fields.map(({ key, at, size }) => {
    const bytes = executable.subarray(start + at, start + at + size);
    return [key, bytes.subarray(0, bytes.indexOf(0)).toString()];
  });
  return Object.fromEntries(texts) as unknown as ExecutableIdentity;
}

function isScript(bytes: Buffer): boolean {
  return bytes.subarray(0, 2).toString() === '#!';
}

function writeScript(launcher: Buffer, identity: ExecutableIdentity): Buffer {
  let text = launcher.toString();
  for (const key of ['name', 'version', 'root'] as const) {
    if (/['\n\0]/.test(identity[key]))
      throw new RangeError(
        `${key} ${JSON.stringify(identity[key])}: has a character that a script cannot hold`,
      );
    text = text.replace(new RegExp(`^${key}=.*$`, 'm'), () => `${key}='${identity[key]}'`);
  }
  return Buffer.from(text);
}

function readScript(text: string): ExecutableIdentity | undefined {
  if (!text.includes('packages/plugins/src/exec.ts')) return undefined;
  const [name, version, root] = ['name', 'version', 'root'].map(
    (key) => new RegExp(`^${key}='(.*)'$`, 'm').exec(text)?.[1],
  );
  if (name === undefined || version === undefined || root === undefined) return undefined;
  return { name, version, socket: '', root };
}
