import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { errorText } from '../../errors.ts';
import { agentFields } from '../agent/agent-settings.ts';
import { defaultConfig } from './default-config.ts';
import { readDaemonConfig } from './read-config.ts';
import { keyOf } from './setting.ts';
import { fields, settings } from './settings.ts';

let dir: string;
let file: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'amphipod-config-'));
  file = `${dir}/config.toml`;
});
afterEach(() => rmSync(dir, { recursive: true }));

const read = (text: string, flags: Record<string, string | boolean> = {}) => {
  writeFileSync(file, text);
  return readDaemonConfig({ config: file, ...flags });
};
const dropIn = (name: string, text: string) => {
  mkdirSync(`${file}.d`, { recursive: true });
  writeFileSync(`${file}.d/${name}`, text);
};

describe('the configuration', () => {
  test('defaults, the file, drop-ins by name and flags, in this order', () => {
    dropIn('20-later.toml', 'log_level = "warn"\nstream_port = 3');
    dropIn('10-first.toml', 'log_level = "debug"\ninsecure_registries = ["b"]');
    dropIn('30-other.conf', 'nonsense');
    const { config, sources, files } = read('root = "/a"\ninsecure_registries = ["a"]\nstream_port = 1', {
      'stream-port': '4',
    });
    assert.equal(config.root, '/a');
    assert.equal(config.state, '/run/amphipod');
    assert.equal(config.logLevel, 'warn');
    assert.deepEqual(config.insecureRegistries, ['b']);
    assert.equal(config.streamPort, 4);
    assert.deepEqual(files, [file, `${file}.d/10-first.toml`, `${file}.d/20-later.toml`]);
    assert.deepEqual(sources, {
      root: file,
      insecureRegistries: `${file}.d/10-first.toml`,
      logLevel: `${file}.d/20-later.toml`,
      streamPort: '--stream-port',
    });
  });

  test('drop-ins without the file itself', () => {
    dropIn('10.toml', 'log_level = "debug"');
    writeFileSync(file, '');
    assert.equal(readDaemonConfig({ config: file }).config.logLevel, 'debug');
    rmSync(file);
    assert.throws(
      () => readDaemonConfig({ config: file }),
      (error) => /^read config \S+config\.toml: ENOENT/.test(errorText(error)),
    );
  });

  test('a mistake is named with file, line, key and value', () => {
    const mistakes: [text: string, message: RegExp][] = [
      ['\nrout = "/a"', /config \S+config\.toml:2: rout = "\/a": unknown key; known are root, state,/],
      ['\n\nlogLevel = "info"', /config\.toml:3: logLevel = "info": unknown key; it is spelt log_level/],
      ['[root]\na = 1', /config\.toml:1: root = {"a":1}: must be a string/],
      ['root = "here"', /config\.toml:1: root = "here": must be an absolute path/],
      ['log_level = "loud"', /:1: log_level = "loud": must be one of debug, info, warn, error/],
      ['cgroup_driver = "v2"', /:1: cgroup_driver = "v2": must be one of cgroupfs, systemd, or empty/],
      ['stream_port = 65536', /:1: stream_port = 65536: must be a port number/],
      ['stream_port = "80"', /:1: stream_port = "80": must be a number/],
      ['cni_bin_dir = "/a"', /:1: cni_bin_dir = "\/a": must be a list of strings/],
      ['cni_bin_dir = ["/a", 1]', /must be a list of strings/],
      ['socket_mode = "999"', /socket_mode = "999": must be three octal digits/],
      ['metrics_address = "9100"', /metrics_address = "9100": must be ADDRESS:PORT/],
      ['otlp_endpoint = "localhost:4318"', /otlp_endpoint = "localhost:4318": must be a URL/],
      ['cni_timeout_ms = 0', /cni_timeout_ms = 0: must be a number of milliseconds above 0/],
      ['default_ulimits = ["files=1"]', /ulimit "files=1": unknown name; known are as, core,/],
      ['default_ulimits = ["nofile=2:1"]', /ulimit "nofile=2:1": the soft limit is above the hard one/],
      ['default_ulimits = ["nofile"]', /ulimit "nofile": must be NAME=SOFT or NAME=SOFT:HARD/],
      [
        '[runtimes.Kata]\npath = "/a"',
        /config\.toml:1: runtimes = .*: "Kata": must be a name like the handler/,
      ],
      ['[runtimes.kata]\npath = "a"', /kata\.path: must be an absolute path/],
      ['[runtimes.kata]\npath = "/a"\nshim = 1', /kata\.shim: unknown key; known are path, options, type/],
      ['[runtimes.kata]\npath = "/a"\ntype = "vm"', /kata\.type: must be "oci"/],
      ['[runtimes.kata]\npath = "/a"\noptions = "-x"', /kata\.options: must be a list of strings/],
      [
        'stream_tls_cert = "/a"',
        /config\.toml: stream_tls_cert = "\/a", stream_tls_key = "": need each other/,
      ],
      ['agent = true', /:1: agent = true: must be a table \[agent\]/],
      ['[agent]\niface = "a"\nipmasq = true', /:3: agent\.ipmasq = true: unknown key; it is spelt ip_masq/],
      ['[agent]\nhealthz_port = 70000', /:2: agent\.healthz_port = 70000: must be a port number/],
      ['[agent]\nenabled = 1', /:2: agent\.enabled = 1: must be a boolean/],
      ['[agent]\netcd_prefix = "a/"', /agent\.etcd_prefix = "a\/": must begin with "\/"/],
      ['[agent]\nkube = true\nkubeconfig = "/a"', /config\.toml: agent\.kubeconfig: not with agent\.kube$/],
      ['[agent]\nserve_cafile = "/a"', /agent\.serve_cafile, .*agent\.serve_keyfile: give all or none/],
      [
        '[agent]\nserve = "127.0.0.1:1"\netcd_endpoints = ["a:1"]',
        /config\.toml: agent\.serve: not with agent\.etcd_endpoints/,
      ],
      ['root = ', /read config \S+config\.toml:1: Invalid TOML document/],
      ['a = 1\na = 2', /read config \S+config\.toml:2:/],
    ];
    for (const [text, message] of mistakes) assert.throws(() => read(text), { message }, text);
  });

  test('runtime handlers are tables', () => {
    const { config } = read(
      '[runtimes.kata]\npath = "/a"\n[runtimes.gvisor]\npath = "/b"\noptions = ["--debug"]',
    );
    const expected = { kata: { path: '/a' }, gvisor: { path: '/b', options: ['--debug'] } };
    assert.equal(JSON.stringify(config.runtimes), JSON.stringify(expected));
  });

  test('the table of the agent is read key by key; the flag turns it on', () => {
    dropIn('10.toml', '[agent]\niface = "eth1"\netcd_endpoints = ["http://a:1"]');
    const { config, sources } = read('[agent]\nip_masq = true\niface = "eth0"', { agent: true });
    const { agent } = settings;
    assert.deepEqual(config.agent, {
      ...agent.default,
      enabled: true,
      ipMasq: true,
      iface: 'eth1',
      etcdEndpoints: ['http://a:1'],
    });
    assert.equal(sources.agent, `${file}.d/10.toml`);
    rmSync(`${file}.d`, { recursive: true });
    assert.equal(read('').config.agent.enabled, false);
    assert.equal(read('', { agent: true }).sources.agent, '--agent');
  });

  test('a mistake in a flag is named with the flag', () => {
    assert.throws(
      () => read('', { 'stream-port': 'x' }),
      /config --stream-port: stream_port = "x": must be a number/,
    );
    assert.deepEqual(read('', { 'insecure-registries': 'a,b' }).config.insecureRegistries, ['a', 'b']);
    assert.deepEqual(read('', { 'insecure-registries': '' }).config.insecureRegistries, []);
  });

  test('the default file says nothing, and with its comment signs taken away the defaults', () => {
    const text = defaultConfig();
    assert.deepEqual(read(text).sources, {});
    const spoken = read(text.replaceAll(/^#(?=\S+ = |\[agent\])/gm, ''));
    assert.deepEqual(
      Object.keys(spoken.sources).sort(),
      fields.filter((field) => !settings[field].isInternal && field !== 'runtimes').sort(),
    );
    for (const field of fields) assert.deepEqual(spoken.config[field], settings[field].default, field);
  });

  test('every setting is in the documentation', () => {
    const page = readFileSync(new URL('../../../../../docs/configuration.md', import.meta.url), 'utf8');
    const missing = fields.filter(
      (field) => !settings[field].isInternal && !page.includes(`\`${keyOf(field)}\``),
    );
    assert.deepEqual(missing, []);
    const ofAgent = agentFields.filter((field) => !page.includes(`| \`${keyOf(field)}\` |`));
    assert.deepEqual(ofAgent, []);
  });
});
