// Makes packages/plugins/bin: builds the launcher where there is a C compiler and writes an executable for each plugin of
// the package. `scripts/make-executables.ts [ROOT]`; ROOT: where `npm run build` put its files
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import {
  builtinPluginTypes,
  defaultPluginSocket,
  type Installation,
  nativeLauncherPath,
  ownInstallation,
  readLauncher,
  writeExecutable,
  writeIdentity,
} from '@amphipod/plugins';
import { type Compiler, staticCompilers } from './compilers.ts';

const source = 'packages/plugins/launcher/launcher.c';

/** A dynamic one is better than none. */
const compilers: Compiler[] = [...staticCompilers(source), ['cc', '-O2', source]];

/** Builds the launcher. Gives the reason when it could not. */
function buildLauncher(file: string): string | undefined {
  mkdirSync(dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}`;
  const reasons: string[] = [];
  for (const [program, ...args] of compilers) {
    const { status, stderr, error } = spawnSync(program, [...args, '-o', temporary], { encoding: 'utf8' });
    // A compiler may make a program that does not run: prove it.
    if (status === 0 && starts(temporary)) {
      renameSync(temporary, file);
      return undefined;
    }
    reasons.push(
      `${program}: ${(error?.message ?? stderr.trim().split('\n')[0]) || 'its program does not start'}`,
    );
    rmSync(temporary, { force: true });
  }
  return reasons.join('; ');
}

/** With this identity it finds no Node.js, and says so. */
function starts(program: string): boolean {
  const identity = { name: 'test', version: '0', socket: '', root: '/nonexistent' };
  writeExecutable(program, writeIdentity(readFileSync(program), identity));
  return (spawnSync(program, { encoding: 'utf8' }).stdout ?? '').includes('/nonexistent/../bin/node24');
}

/** Only what changes: a server that runs knows its files by inode. */
function writeExecutables(installation: Installation): void {
  const launcher = readLauncher();
  const { binDir, version } = installation;
  mkdirSync(binDir, { recursive: true });
  for (const name of readdirSync(binDir))
    if (!builtinPluginTypes.includes(name)) rmSync(join(binDir, name), { recursive: true });
  for (const name of builtinPluginTypes) {
    // The root stays empty: a moved checkout still finds itself.
    writeExecutable(
      join(binDir, name),
      writeIdentity(launcher, { name, version, root: '', socket: defaultPluginSocket }),
    );
  }
}

const own = ownInstallation();
const root = process.argv[2] === undefined ? own.root : resolve(process.argv[2]);
const native = nativeLauncherPath;
process.chdir(own.root);
if (!existsSync(native) || statSync(native).mtimeMs < statSync(source).mtimeMs) {
  const reason = buildLauncher(native);
  if (reason !== undefined) {
    rmSync(native, { force: true });
    process.stderr.write(
      `plugin executables: the launcher could not be built, shell scripts take its place and cost 100 ms more a call (${reason})\n`,
    );
  }
}
writeExecutables({ ...own, binDir: join(root, 'packages/plugins/bin') });
