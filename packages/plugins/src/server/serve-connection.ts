import type { Socket } from 'node:net';
import { type BoundPlugin, runPlugin, type SkelIo } from '@amphipod/cni';
import type { BuiltinPlugins } from '../builtin-plugins.ts';
import type { Installation } from '../executables/installation.ts';
import { Caller, CallerError } from './caller.ts';
import type { Orphans } from './orphans.ts';
import { decodeHello, encodeOutput, type Hello, type ProgramOutput } from './protocol.ts';
import type { CallerCheck } from './same-world.ts';

/** What connections of one server share. */
export interface ServerContext {
  installation: Installation;
  plugins: BuiltinPlugins;
  checkCaller: CallerCheck;
  orphans: Orphans;
  /** Aborted when the server ends and nobody is waited for any longer. */
  stopping: AbortSignal;
  onWarning(message: string): void;
}

// Linux takes 128 KiB for one variable and 6 MB for all of them with the default stack limit.
const MAX_HELLO_BYTES = 8 << 20;
const MAX_STDIN_BYTES = 64 << 20;
const HELLO_TIMEOUT_MS = 10_000;

/** One launcher, from its first byte to its last. Never rejects. */
export async function serveConnection(socket: Socket, context: ServerContext): Promise<void> {
  const caller = new Caller(socket);
  try {
    const hello = await receiveHello(socket, caller);
    const reason = context.checkCaller(descriptorOf(socket)) ?? reasonAgainst(hello, context.installation);
    const plugin = context.plugins.get(hello.type);
    if (reason !== undefined || plugin === undefined)
      return caller.decline(reason ?? `no plugin ${JSON.stringify(hello.type)}`);
    await context.orphans.settled(keyOf(hello));
    const work = serveRequest(caller, { plugin, hello, context });
    caller.gone.addEventListener('abort', () => context.orphans.add(keyOf(hello), work));
    await work;
  } catch (error) {
    if (error instanceof CallerError && error.isTooLarge) return caller.decline(error.message);
    if (!caller.gone.aborted) context.onWarning(`serve a plugin call: ${(error as Error).message}`);
  } finally {
    if (!socket.writableEnded) caller.close();
  }
}

async function receiveHello(socket: Socket, caller: Caller): Promise<Hello> {
  socket.setTimeout(HELLO_TIMEOUT_MS, () => socket.destroy());
  const hello = decodeHello(await caller.receive('H', MAX_HELLO_BYTES));
  // From here on the caller may be as slow as whoever feeds it.
  socket.setTimeout(0);
  return hello;
}

/** The descriptor of a Unix socket that is open. */
function descriptorOf(socket: Socket): number {
  const { fd } = (socket as unknown as { _handle?: { fd?: number } })._handle ?? {};
  if (fd === undefined || fd < 0) throw new CallerError('the caller is gone');
  return fd;
}

function reasonAgainst({ version, root, env }: Hello, installation: Installation): string | undefined {
  if (version !== installation.version) return `version ${version}, want ${installation.version}`;
  if (root !== installation.root) return `installation ${root}, want ${installation.root}`;
  // The server has another working directory.
  const paths = [env.CNI_NETNS ?? '', ...(env.CNI_PATH ?? '').split(':')];
  const relative = paths.find((path) => path !== '' && !path.startsWith('/'));
  return relative === undefined ? undefined : `relative path ${JSON.stringify(relative)}`;
}

function keyOf({ type, env }: Hello): string {
  return [type, env.CNI_CONTAINERID, env.CNI_IFNAME].join(' ');
}

interface PluginCall {
  plugin: BoundPlugin;
  hello: Hello;
  context: ServerContext;
}

/** Runs the plugin and hands over what it says; an ADD whose result does not arrive is undone. Never rejects. */
async function serveRequest(caller: Caller, call: PluginCall): Promise<void> {
  const { context } = call;
  let stdin = '';
  let refused: CallerError | undefined;
  const signal = AbortSignal.any([caller.gone, context.stopping]);
  const output = await runWith(call, call.hello.env, signal, async () => {
    try {
      caller.send('S');
      stdin = (await caller.receive('I', MAX_STDIN_BYTES)).toString();
      return stdin;
    } catch (error) {
      refused = error as CallerError;
      throw error;
    }
  });
  const isInterrupted = refused === undefined && signal.aborted;
  if (refused?.isTooLarge) return caller.decline(refused.message);
  caller.send('R', encodeOutput(output));
  if (await isPassedOn(caller)) return caller.close();
  // Its runtime learns that the server ended, and has to DEL.
  if (context.stopping.aborted) return;
  // One that was ended in the middle has undone itself, but for what its delegates would have had to do: they were ended too.
  if (call.hello.env.CNI_COMMAND === 'ADD' && (output.exitCode === 0 || isInterrupted))
    await undo(call, stdin);
}

async function isPassedOn(caller: Caller): Promise<boolean> {
  try {
    await caller.receive('A', 0);
    return true;
  } catch {
    return false;
  }
}

async function runWith(
  { plugin, context }: PluginCall,
  env: Record<string, string>,
  signal: AbortSignal,
  readStdin: SkelIo['readStdin'],
): Promise<ProgramOutput> {
  let stdout = '';
  let stderr = '';
  const io: SkelIo = {
    env,
    readStdin,
    writeStdout: (text) => {
      stdout += text;
    },
    writeStderr: (text) => {
      stderr += text;
    },
  };
  const exitCode = await runPlugin(plugin, { io, inProcess: context.plugins, signal });
  return { exitCode, stdout, stderr };
}

async function undo(call: PluginCall, stdin: string): Promise<void> {
  const { context, hello } = call;
  const env: Record<string, string> = { ...hello.env, CNI_COMMAND: 'DEL' };
  const { exitCode, stdout } = await runWith(call, env, context.stopping, () => stdin);
  if (exitCode === 0) return;
  const who = `${hello.type} of ${env.CNI_CONTAINERID} ${env.CNI_IFNAME}`;
  context.onWarning(`undo ADD by ${who}: ${stdout}`);
}
