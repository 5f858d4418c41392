import { mkdirSync, readFileSync } from 'node:fs';
import { createCni, type EndedCall } from '@amphipod/cni';
import { type ImageStoreSettings, openImageStore } from '@amphipod/images';
import { becomeSubreaper, cgroupRemoveEmpty, detectCgroups, FileLock, NullDevices } from '@amphipod/linux';
import { builtinPlugins } from '@amphipod/plugins';
import type { Server } from '@grpc/grpc-js';
import type { DaemonConfig } from '../config.ts';
import { HostPaths } from '../containers/host-paths.ts';
import { Stops } from '../containers/stop.ts';
import type { RuntimeContext } from '../context.ts';
import { serve } from '../cri/server.ts';
import { DevicePools } from '../devices/device-pools.ts';
import { ensureVfs } from '../devices/ensure-vfs.ts';
import { readDeviceConfig } from '../devices/pool-config.ts';
import { CriError, errorText } from '../errors.ts';
import { Events } from '../events.ts';
import { failpoints, fileFailpoint, noFailpoint } from '../failpoint.ts';
import { Pulls } from '../images/pulls.ts';
import { createLog, type Log } from '../log.ts';
import { cgroupDrivers, detectCgroupDriver, ownCgroup } from '../oci/cgroup-driver.ts';
import { ExitDirectory } from '../oci/exits.ts';
import { findProgram, type OciRuntimes } from '../oci/runtimes.ts';
import { stopUnit } from '../oci/stop-unit.ts';
import { Networks } from '../pods/networks.ts';
import { CpuRates } from '../stats/cpu-rates.ts';
import { metricSet } from '../stats/metrics/pod-metrics.ts';
import { WritableLayers } from '../stats/writable-layers.ts';
import { KeyedMutex } from '../store/keyed-mutex.ts';
import { NameRegistry } from '../store/names.ts';
import { Store } from '../store/store.ts';
import { StreamingServer } from '../streaming/server.ts';
import { type Step, Telemetry } from '../telemetry/telemetry.ts';
import { runtimeVersion } from '../version.ts';
import { ensureConflist } from './agent/default-conflist.ts';
import type { DaemonFlags } from './config/read-config.ts';
import { notifySystemd } from './notify-systemd.ts';
import { observeCalls } from './observe-calls.ts';
import { untilSignal, warmThreadPool } from './process.ts';
import { recover } from './recover.ts';
import { LiveConfig, reloadAtHangup } from './reload.ts';
import { findRuntimes } from './runtimes.ts';
import { servePlugins } from './serve-plugins.ts';
import { startPodPolicy } from './start-pod-policy.ts';
import { watchExits } from './watch-exits.ts';

/** `amphipod up`: serves CRI in the foreground until SIGINT or SIGTERM; returns the exit code. Pods live on afterwards. */
export async function up({ 'list-failpoints': listFailpoints, ...flags }: DaemonFlags): Promise<number> {
  if (listFailpoints) {
    process.stdout.write(`${failpoints.join('\n')}\n`);
    return 0;
  }
  try {
    await runDaemon(new LiveConfig(flags));
    return 0;
  } catch (error) {
    process.stderr.write(`amphipod: up: ${errorText(error)}\n`);
    return 125;
  }
}

async function runDaemon(live: LiveConfig): Promise<void> {
  const { config } = live;
  const startedAt = new Date().toISOString();
  await warmThreadPool();
  const log = createLog({
    level: config.logLevel,
    format: config.logFormat,
    write: (line) => process.stderr.write(line),
  });

  mkdirSync(config.root, { recursive: true, mode: 0o711 });
  mkdirSync(config.state, { recursive: true, mode: 0o711 });
  using _lock = lockRoot(config);
  using store = new Store(`${config.root}/amphipod.db`, (isWaiting) =>
    isWaiting
      ? log.error('the disk is full: changes of pods are saved when there is room', { root: config.root })
      : log.info('changes of pods are saved again', { root: config.root }),
  );
  await using images = await openImageStore({
    ...imageSettings(config),
    root: `${config.root}/images`,
    log: (text) => log.info(text),
  });
  using exits = new ExitDirectory(`${config.state}/exits`);
  using nullDevices = new NullDevices();
  const telemetry = new Telemetry();
  const plugins = builtinPlugins();
  const cni = createCni({
    pluginDirs: config.cniBinDir,
    cacheDir: config.cniCacheDir,
    timeoutMs: config.cniTimeoutMs,
    cleanupTimeoutMs: config.cniTimeoutMs,
    onWarning: (message) => log.warn(message),
    onPluginStderr: (plugin, text) => log.debug('plugin says', { plugin, text }),
    onCall: (call) => telemetry.workDone(pluginStep(call)),
    inProcess: plugins,
  });
  // The exit codes of commands that the OCI runtime started for Exec come to the daemon (docs/adr/0015).
  using _subreaper = becomeSubreaper();
  await using streaming = await startStreaming(config, log);
  const cgroups = detectCgroups();
  const cgroupDriver = cgroupDrivers.find((driver) => driver === config.cgroupDriver) ?? detectCgroupDriver();
  using layers = new WritableLayers((container, error) =>
    log.warn('measure writable layer', { container, error: errorText(error) }),
  );
  const strike = config.failpoints ? fileFailpoint(`${config.state}/failpoint`) : noFailpoint;
  using policy = config.policyDir === '' ? undefined : await startPodPolicy({ config, store, log });
  const context: RuntimeContext = {
    config,
    ...(policy && { policy }),
    log,
    store,
    images,
    exits,
    nullDevices,
    streaming,
    sandboxNames: new NameRegistry('sandbox'),
    containerNames: new NameRegistry('container'),
    locks: new KeyedMutex(),
    stops: new Stops(),
    hostPaths: new HostPaths(),
    pulls: new Pulls(),
    cni,
    networks: new Networks(config.cniConfDir),
    devices: new DevicePools(config.devicePools),
    ...(await findPrograms(config)),
    cgroups,
    cgroupDriver,
    events: new Events(),
    cpuRates: new CpuRates(),
    layers,
    metrics: metricSet(cgroups),
    telemetry,
    failpoint(step) {
      telemetry.stepDone(step);
      strike(step);
    },
    self: () => ({
      pid: process.pid,
      startedAt,
      version: runtimeVersion,
      configFiles: live.files,
      lastReload: live.lastReload,
    }),
    bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim(),
  };
  await using _observers = await observeCalls(context);
  await recover(context);
  declareVfs(context);
  using _watch = watchExits(context);
  await using _plugins = await servePlugins(context, plugins);
  await using _agent = await startAgent(context);
  const server = await serve(context, config);
  using _reload = reloadAtHangup(live, log, (changed) => {
    images.configure(imageSettings(changed));
    log.setLevel(changed.logLevel);
  });
  log.info('ready', {
    socket: config.socket,
    runtime: context.runtimes.default.name,
    cgroupDriver,
    pid: process.pid,
  });
  notifySystemd(log);
  await untilSignal();
  log.info('stopping; pods live on');
  context.events.end();
  await stopServing(server);
  if (store.sandboxes.list().length === 0) await removeOwnParent(context);
}

/** After the pods are known: what they have is left alone. A file that cannot be used is told of by the pods that need it, too. */
function declareVfs({ config, log }: RuntimeContext): void {
  try {
    ensureVfs(readDeviceConfig(config.devicePools).vfCounts, log);
  } catch (error) {
    log.error('read pools of devices', { error: errorText(error) });
  }
}

/** The network agent inside this process, where it is wanted. No failure of it ends the daemon. */
async function startAgent({ config, networks, log }: RuntimeContext): Promise<AsyncDisposable | undefined> {
  if (!config.agent.enabled) return undefined;
  const file = ensureConflist(config.cniConfDir, networks);
  if (file !== undefined) log.info('wrote a network configuration for the overlay', { file });
  const { keepAgent } = await import('./agent/keep-agent.ts');
  return keepAgent(config.agent, log.child({ part: 'agent' }));
}

/** Nobody needs the parent of the pods without a cgroup_parent while there is none. */
async function removeOwnParent({ cgroups, cgroupDriver }: RuntimeContext): Promise<void> {
  const parent = ownCgroup(cgroupDriver);
  if (cgroupDriver === 'systemd') await stopUnit(parent.slice(1));
  cgroupRemoveEmpty(cgroups, parent);
}

function pluginStep({ plugin, command, startMs, endMs, error }: EndedCall): Step {
  return { name: `cni ${plugin} ${command}`, startMs, endMs, ...(error && { error: error.message }) };
}

function imageSettings(config: DaemonConfig): ImageStoreSettings {
  const { registryConfigDir: certsDir, registryAuthFile: authFile, signaturePolicy } = config;
  return {
    pinned: config.pinnedImages,
    registries: {
      plainHttp: config.insecureRegistries,
      ...(certsDir !== '' && { certsDir }),
      ...(authFile !== '' && { authFile }),
    },
    ...(signaturePolicy !== '' && { signaturePolicy }),
  };
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
  const need = (program: string) => {
    const found = findProgram(program);
    if (found !== undefined) return found;
    throw new CriError('failed-precondition', `find ${program}: not installed (apt-get install ${program})`);
  };
  return {
    programs: { conmon: need('conmon'), init: need('catatonit') },
    runtimes: await findRuntimes(config),
  };
}
