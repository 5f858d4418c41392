import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { ContainerState } from '../../packages/runtime/src/gen/api.ts';
import { projectDir } from '../cri/support/amphipod.ts';
import { type Fixture, useServer } from '../cri/support/fixture.ts';
import { assertLeft, leftovers } from '../cri/support/leftovers.ts';
import {
  containerConfig,
  execText,
  kubeletNamespaces,
  NamespaceMode,
  removePod,
  sandboxConfig,
} from '../cri/support/pods.ts';
import { eventually } from '../cri/support/wait.ts';

const steps = execFileSync(`${projectDir}/bin/amphipod`, ['up', '--list-failpoints'], { encoding: 'utf8' })
  .trim()
  .split('\n');

/** Each makes a pod with one container, up to and with the call that a step belongs to. */
const calls = ['run-pod-sandbox', 'create-container', 'start-container'] as const;
type CallName = (typeof calls)[number];

for (const [pidName, pid] of [
  ['container', NamespaceMode.CONTAINER],
  ['pod', NamespaceMode.POD],
] as const) {
  describe(`a failure after each step, pid ${pidName}`, () => {
    const fixture = useServer('amphipod', { flags: ['--failpoints'] });
    const life = () => new PodLife(fixture, pid);

    test('every call has steps, and every step a call', () => {
      for (const call of calls)
        assert.ok(
          steps.some((step) => callOf(step) === call),
          call,
        );
    });

    for (const step of steps) {
      test(`${step}: error, nothing left, the same call succeeds`, async () => {
        const nothing = await leftovers(fixture.server);
        const pod = life();
        await pod.before(callOf(step));
        const before = await leftovers(fixture.server);
        arm(fixture, `${step} fail`);
        await assert.rejects(pod.call(callOf(step)), new RegExp(`failpoint ${step}`));
        await assertLeft(fixture.server, before, 'after the failed call');
        await pod.call(callOf(step));
        await pod.after(callOf(step));
        await assertLeft(fixture.server, nothing, 'after the removal');
      });

      test(`${step}: killed there, nothing without an owner after the restart (CNI-19)`, async () => {
        const nothing = await leftovers(fixture.server);
        const pod = life();
        await pod.before(callOf(step));
        const before = await leftovers(fixture.server);
        arm(fixture, `${step} kill`);
        await assert.rejects(pod.call(callOf(step)));
        await eventually('the end of the daemon', () => fixture.server.program().exitStatus());
        await fixture.server.start();
        await pod.discardUnanswered(callOf(step));
        // Killed after the OCI runtime's start, the container runs on: all that is there is its own.
        if (!(await pod.isRunning())) {
          await assertLeft(fixture.server, before, 'after the restart');
          await pod.call(callOf(step));
        }
        await pod.after(callOf(step));
        await assertLeft(fixture.server, nothing, 'after the removal');
      });
    }
  });
}

function callOf(step: string): CallName {
  const call = calls.find((name) => step.startsWith(`${name}.`));
  assert.ok(call, `step ${step} belongs to no call`);
  return call;
}

/** Makes the daemon fail or die at its next passage of a step; it removes the file when that happens. */
function arm({ server }: Fixture, order: string): void {
  mkdirSync(`${server.dir}/state`, { recursive: true });
  writeFileSync(`${server.dir}/state/failpoint`, `${order}\n`);
}

/** One pod with one container, made call by call, with requests that stay the same when repeated. */
class PodLife {
  readonly #fixture: Fixture;
  readonly #sandbox;
  readonly #container;
  #podId = '';
  #containerId = '';

  constructor(fixture: Fixture, pid: NamespaceMode) {
    this.#fixture = fixture;
    const securityContext = { namespaceOptions: kubeletNamespaces({ pid }) };
    this.#sandbox = sandboxConfig({ linux: { securityContext } });
    this.#container = () => containerConfig(fixture.image, { linux: { securityContext } });
  }

  async call(name: CallName): Promise<void> {
    const { cri } = this.#fixture;
    switch (name) {
      case 'run-pod-sandbox':
        this.#podId = (await cri.runPodSandbox({ config: this.#sandbox })).podSandboxId;
        return;
      case 'create-container': {
        const request = {
          podSandboxId: this.#podId,
          config: this.#container(),
          sandboxConfig: this.#sandbox,
        };
        this.#containerId = (await cri.createContainer(request)).containerId;
        return;
      }
      case 'start-container':
        await cri.startContainer({ containerId: this.#containerId });
    }
  }

  /** Every call that comes before `name`. */
  async before(name: CallName): Promise<void> {
    for (const earlier of calls.slice(0, calls.indexOf(name))) await this.call(earlier);
  }

  /** Every call that comes after `name`; then the container must work; then the pod is removed. */
  async after(name: CallName): Promise<void> {
    const { cri } = this.#fixture;
    for (const later of calls.slice(calls.indexOf(name) + 1)) await this.call(later);
    assert.equal(await execText(cri, this.#containerId, ['echo', 'works']), 'works\n');
    await removePod(cri, { id: this.#podId, config: this.#sandbox });
  }

  async isRunning(): Promise<boolean> {
    const { containers } = await this.#fixture.cri.listContainers({ filter: { id: this.#containerId } });
    return this.#containerId !== '' && containers[0]?.state === ContainerState.CONTAINER_RUNNING;
  }

  /** A pod or container that was complete when the daemon died is listed, though its maker never got the answer. */
  async discardUnanswered(name: CallName): Promise<void> {
    const { cri } = this.#fixture;
    if (name === 'run-pod-sandbox') {
      for (const { id } of (await cri.listPodSandbox()).items)
        await removePod(cri, { id, config: this.#sandbox });
    }
    if (name === 'create-container') {
      for (const { id } of (await cri.listContainers()).containers)
        await cri.removeContainer({ containerId: id });
    }
  }
}
