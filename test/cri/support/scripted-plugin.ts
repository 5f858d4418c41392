import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from './program.ts';

/** One call of the plugin. */
export interface ScriptedCall {
  command: string;
  containerID: string;
  netns: string;
  /** Uptime in seconds. */
  startedAt: number;
  /** Undefined while it runs, and for one that was killed. */
  endedAt: number | undefined;
}

const program = (dir: string) => `#!/bin/sh
dir=${dir}
uptime() { cut -d ' ' -f 1 /proc/uptime; }
call=$(mktemp "$dir/calls/$(uptime).XXXXXX")
printf '%s|%s|%s|%s|' "$CNI_COMMAND" "$CNI_CONTAINERID" "$CNI_NETNS" "$(uptime)" >"$call"
cat >"$call.in"
status=0
[ ! -e "$dir/$CNI_COMMAND" ] || . "$dir/$CNI_COMMAND"
[ $status = 0 ] || echo '{"code":123,"msg":"told to fail"}'
[ $status != 0 ] || [ "$CNI_COMMAND" != ADD ] ||
  ${process.execPath} -e 'console.log(JSON.stringify(JSON.parse(require("fs").readFileSync(0)).prevResult))' <"$call.in"
uptime >>"$call"
exit $status
`;

/** A plugin, to be put behind others, that does what the test says and notes its calls. */
export class ScriptedPlugin {
  static readonly type = 'scripted';
  /** $dir of the shell code. */
  readonly dir: string;
  readonly binDir: string;

  /** @param dir an existing directory */
  constructor(dir: string) {
    this.dir = dir;
    this.binDir = join(dir, 'bin');
    for (const name of ['bin', 'calls']) mkdirSync(join(dir, name));
    this.install();
  }

  install(): void {
    const file = join(this.binDir, ScriptedPlugin.type);
    writeFileSync(file, program(this.dir));
    chmodSync(file, 0o755);
  }

  uninstall(): void {
    rmSync(join(this.binDir, ScriptedPlugin.type));
  }

  /** Lets `command` run this shell code first, which may set `status`; undefined: nothing. */
  on(command: 'ADD' | 'DEL', code: string | undefined): void {
    const file = join(this.dir, command);
    if (code === undefined) rmSync(file, { force: true });
    else writeFileSync(file, code);
  }

  /** All calls so far, in the order in which they began. */
  async calls(): Promise<ScriptedCall[]> {
    const names = (await run(['ls', '-v', join(this.dir, 'calls')])).split('\n');
    return names
      .filter((name) => name !== '' && !name.endsWith('.in'))
      .map((name) =>
        readFileSync(join(this.dir, 'calls', name), 'utf8')
          .trim()
          .split('|'),
      )
      .map(([command, containerID, netns, startedAt, endedAt]) => ({
        command: command!,
        containerID: containerID!,
        netns: netns!,
        startedAt: Number(startedAt),
        endedAt: endedAt ? Number(endedAt) : undefined,
      }));
  }
}
