import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { projectDir } from './support/amphipod.ts';
import { type MachineState, machineState } from './support/machine-state.ts';
import { runAny, startProgram } from './support/program.ts';
import { makeScratch } from './support/scratch.ts';
import { eventually } from './support/wait.ts';

const start = ['npm', 'start', '--silent', '--'];
const path = (process.env.PATH ?? '').split(':');
const lacksNpm = !path.some((dir) => existsSync(`${dir}/npm`)) && 'npm is not installed on this machine';

// A newcomer's machine has no links and rules of other suites, and nobody else writes to its /tmp and /var/tmp: this file runs
// itself in namespaces of its own.
// A project that lies in there is brought back.
const emptyTmp = `
  cd "$1"
  for dir in /tmp /var/tmp; do mount -t tmpfs -o mode=1777 tmp $dir; done
  if [ ! -d "$1" ]; then
    mkdir -p "$1"
    mount --no-canonicalize --bind . "$1"
  fi
  shift
  exec "$@"`;
if (process.env.AMPHIPOD_TEST_CLEAN === undefined) {
  test('npm start, on a clean machine', { timeout: 300_000, skip: lacksNpm }, async () => {
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const command = [
      'sh',
      `${projectDir}/scripts/in-namespaces.sh`,
      ...['sh', '-ec', emptyTmp, 'sh', projectDir],
      process.execPath,
      '--test',
      import.meta.filename,
    ];
    const { code, stdout } = await runAny(command, { env: { ...env, AMPHIPOD_TEST_CLEAN: '1' } });
    assert.equal(code, 0, stdout);
  });
} else {
  test('--once: exit 0, three answers, and the machine is as before', { timeout: 140_000 }, once);
  test('Ctrl-C: the page was there, and the machine is as before', { timeout: 140_000 }, untilInterrupted);
}

async function once(): Promise<void> {
  const before = await machineState();
  const { code, stdout, stderr } = await runAny([...start, '--once'], { cwd: projectDir });
  assert.equal(code, 0, `${stdout}${stderr}`);
  assert.match(stdout, /pod answers\s+http:\/\/[\d.]+\/\s+200/);
  assert.match(stdout, /host port answers\s+http:\/\/127\.0\.0\.1:\d+\/\s+200/);
  await assertSameMachine(before);
}

async function untilInterrupted(): Promise<void> {
  using scratch = makeScratch('start');
  const before = await machineState();
  // A process group of its own, as a terminal gives it: Ctrl-C reaches npm, the shell and Node.js alike.
  const program = await startProgram(start, `${scratch.dir}/output`, { cwd: projectDir, detached: true });
  const output = () => readFileSync(`${scratch.dir}/output`, 'utf8');
  const url = await eventually(
    'the address of the pod',
    () => program.exitStatus() ?? /host port answers\s+(http:\S+)\s+200/.exec(output())?.[1],
    { timeoutMs: 90_000 },
  );
  assert.equal(program.exitStatus(), undefined, output());
  await sleep(300);
  assert.equal((await fetch(url)).status, 200);
  process.kill(-program.pid, 'SIGINT');
  await eventually('its end', () => program.exitStatus(), { timeoutMs: 60_000 });
  assert.match(output(), /Everything is put back/);
  await assert.rejects(fetch(url));
  await assertSameMachine(before);
}

/** Compares, and looks again for a while: npm's own processes end a moment after it. */
async function assertSameMachine(before: MachineState): Promise<void> {
  let now = await machineState();
  // What others left before may go, but nothing may come.
  for (const subject of ['cgroups', 'files']) {
    const gone = new Set(before[subject]).difference(new Set(now[subject]));
    before[subject] = before[subject]!.filter((path) => !gone.has(path));
  }
  for (let i = 0; i < 20 && JSON.stringify(now) !== JSON.stringify(before); i++) {
    await sleep(100);
    now = await machineState();
  }
  for (const subject of Object.keys(before)) assert.deepEqual(now[subject], before[subject], subject);
}
