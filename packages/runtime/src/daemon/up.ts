import { mkdirSync, readFileSync } from 'node:fs';
import { createCni } from '@amphipod/cni';
import { openImageStore } from '@amphipod/images';
import { becomeSubreaper, cgroupRemoveEmpty, detectCgroups, FileLock } from '@amphipod/linux';
import { builtinPlugins } from '@amphipod/plugins';
import type { Server } from '@grpc/grpc-js';
import type { DaemonConfig } from '../config.ts';
import { Stops } from '../containers/stop.ts';
import type { RuntimeContext } from '../context.ts';
import { serve } from '../cri/server.ts';
import { CriError, errorText } from '../errors.ts';
import { failpoints, fileFailpoint, noFailpoint } from '../failpoint.ts';
import { Pulls } from '../images/pulls.ts';
import { createLog, type Log } from '../log.ts';
import { ExitDirectory } from '../oci/exits.ts';
import { findProgram, type OciRuntimes } from '../oci/runtimes.ts';
import { Networks } from '../pods/networks.ts';
import { ownCgroup } from '../pods/release.ts';
import { KeyedMutex } from '../store/keyed-mutex.ts';
import { NameRegistry } from '../store/names.ts';
import { Store } from '../store/store.ts';
import { StreamingServer } from '../streaming/server.ts';
import { type DaemonFlags, readDaemonConfig } from './config.ts';
import { untilSignal, warmThreadPool } from './process.ts';
import { recover } from './recover.ts';
import { findRuntimes } from './runtimes.ts';
import { servePlugins } from './serve-plugins.ts';
import { watchExits } from './watch-exits.ts';

/** `amphipod up`: serves CRI in the foreground until SIGINT or SIGTERM; returns the exit code. Pods live on afterwards. */
export async function up({ 'list-failpoints': listFailpoints, ...flags }: DaemonFlags): Promise<number> {
  if (listFailpoints) {
    process.stdout.write(`${failpoints.join('\n')}\n`);
    return 0;
  }
  try {
    await runDaemon(readDaemonConfig(flags));
    return 0;
  } catch (error) {
    process.stderr.write(`amphipod: up: ${errorText(error)}\n`);
    return 125;
  }
}

async function runDaemon(config: DaemonConfig): Promise<void> {
  await warmThreadPool();
  const log = createLog(config.logLevel, (line) => process.stderr.write(line));

  mkdirSync(config.root, { recursive: true, mode: 0o711 });
  mkdirSync(config.state, { recursive: true, mode: 0o711 });
  using _lock = lockRoot(config);
  using store = new Store(`${config.root}/amphipod.db`);
  await using images = await openImageStore({ root: `${config.root}/images` });
  using exits = new ExitDirectory(`${config.state}/exits`);
  const plugins = builtinPlugins();
  // The exit codes of commands that the OCI runtime started for Exec come to the daemon (docs/adr/0015).
  using _subreaper = becomeSubreaper();
  await using streaming = await startStreaming(config, log);
  const context: RuntimeContext = {
    config,
    log,
    store,
    images,
    exits,
    streaming,
    sandboxNames: new NameRegistry('sandbox'),
    containerNames: new NameRegistry('container'),
    locks: new KeyedMutex(),
    stops: new Stops(),
    pulls: new Pulls(),
    cni: createCni({
      pluginDirs: config.cniBinDir,
      cacheDir: config.cniCacheDir,
      timeoutMs: config.cniTimeoutMs,
      cleanupTimeoutMs: config.cniTimeoutMs,
      onWarning: (message) => log.warn(message),
      onPluginStderr: (plugin, text) => log.debug('plugin says', { plugin, text }),
      inProcess: plugins,
    }),
    networks: new Networks(config.cniConfDir),
    ...(await findPrograms(config)),
    cgroups: detectCgroups(),
    failpoint: config.failpoints ? fileFailpoint(`${config.state}/failpoint`) : noFailpoint,
    bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim(),
  };
  await recover(context);
  using _watch = watchExits(context);
  await using _plugins = await servePlugins(context, plugins);
  const server = await serve(context, config.socket);
  log.info('ready', { socket: config.socket, runtime: context.runtimes.default.name, pid: process.pid });
  await untilSignal();
  log.info('stopping; pods live on');
  await stopServing(server);
  if (store.sandboxes.list().length === 0) cgroupRemoveEmpty(context.cgroups, ownCgroup);
}

/** Calls under way may finish; nobody is waited for longer than this. */
async function stopServing(server: Server): Promise<void> {
  await new Promise<void>((resolve) => {
    server.tryShutdown(() => resolve());
    setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, 2000).unref();
  });
}

function startStreaming(config: DaemonConfig, log: Log): Promise<StreamingServer> {
  const { streamAddress: address, streamPort: port, streamTlsCert: certFile, streamTlsKey: keyFile } = config;
  return StreamingServer.start({
    address,
    port,
    tls: certFile === '' ? undefined : { certFile, keyFile },
    log,
  });
}

/** @throws CriError failed-precondition when another daemon has this root */
function lockRoot(config: DaemonConfig): FileLock {
  const path = `${config.root}/lock`;
  const lock = FileLock.try(path);
  if (lock === undefined)
    throw new CriError('failed-precondition', `lock ${path}: another daemon uses ${config.root}`);
  return lock;
}

async function findPrograms(
  config: DaemonConfig,
): Promise<{ runtimes: OciRuntimes; programs: RuntimeContext['programs'] }> {
  const path = `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin`;
  const need = (program: string) => {
    const found = findProgram(program, path);
    if (found !== undefined) return found;
    throw new CriError('failed-precondition', `find ${program}: not installed (apt-get install ${program})`);
  };
  return {
    programs: { conmon: need('conmon'), init: need('catatonit') },
    runtimes: await findRuntimes(config, path),
  };
}
