import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** One call of the plugin. */
export interface NoopCall {
  command: string;
  /** The CNI_* variables. */
  env: Record<string, string>;
  stdin: string;
}

// Of the same use as the reference's "noop": what it is to say stands below the key "debug" of its configuration, or of the
// section that belongs to it when it serves as IPAM plugin.
const script = (record: string) => `#!/usr/bin/env -S ${process.execPath} --no-warnings
const { appendFileSync, readFileSync } = require('node:fs');
const command = process.env.CNI_COMMAND;
if (command === 'VERSION') {
  console.log('{"cniVersion":"1.1.0","supportedVersions":["0.3.1","0.4.0","1.0.0","1.1.0"]}');
  process.exit(0);
}
const stdin = readFileSync(0, 'utf8');
const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => name.startsWith('CNI_')));
appendFileSync(${JSON.stringify(record)}, JSON.stringify({ command, env, stdin }) + '\\n');
const config = JSON.parse(stdin);
const debug = (config.type === 'noop' ? config.debug : config.ipam.debug) ?? {};
if (debug.stderr) process.stderr.write(debug.stderr);
const answer = debug[command] ?? (command === 'ADD' ? { cniVersion: config.cniVersion, ...config.prevResult } : undefined);
if (answer !== undefined) console.log(JSON.stringify(answer));
process.exit(answer?.code === undefined ? 0 : 1);
`;

/** A plugin that belongs to nobody: it notes its calls and answers as its configuration says. */
export class NoopPlugin {
  readonly #record: string;

  /** Makes the executable `noop` in a directory. */
  constructor(binDir: string) {
    this.#record = join(binDir, 'noop.calls');
    writeFileSync(join(binDir, 'noop'), script(this.#record));
    chmodSync(join(binDir, 'noop'), 0o755);
  }

  /** All calls so far. */
  calls(): NoopCall[] {
    if (!existsSync(this.#record)) return [];
    const lines = readFileSync(this.#record, 'utf8').trim().split('\n');
    return lines.map((line) => JSON.parse(line) as NoopCall);
  }
}
