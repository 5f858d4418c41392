import { readFileSync, rmSync } from 'node:fs';
import { isCode } from '@amphipod/linux';
import { CriError } from './errors.ts';

/** The steps at which a test can make the daemon fail, in the order in which a pod and its container pass them. */
export const failpoints = [
  'run-pod-sandbox.record',
  'run-pod-sandbox.files',
  'run-pod-sandbox.namespaces',
  'run-pod-sandbox.network',
  'run-pod-sandbox.further-networks',
  'run-pod-sandbox.init',
  'run-pod-sandbox.ready',
  'create-container.record',
  'create-container.image',
  'create-container.rootfs',
  'create-container.volumes',
  'create-container.spec',
  'create-container.created',
  'start-container.begin',
  'start-container.create',
  'start-container.start',
  'start-container.running',
] as const;
export type FailpointName = (typeof failpoints)[number];

/** Called after the step `name` is done and before the next one begins. */
export type Failpoint = (name: FailpointName) => void;

export const noFailpoint: Failpoint = () => {};

/**
 * A failpoint that obeys `file`: one line `STEP fail` or `STEP kill`, removed when it strikes.
 * @throws CriError internal at the step to fail
 */
export function fileFailpoint(file: string): Failpoint {
  return (name) => {
    let order: string;
    try {
      order = readFileSync(file, 'utf8').trim();
    } catch (error) {
      if (isCode(error, 'ENOENT')) return;
      throw error;
    }
    const [step, action] = order.split(' ');
    if (step !== name) return;
    rmSync(file);
    if (action === 'kill') process.kill(process.pid, 'SIGKILL');
    throw new CriError('internal', `failpoint ${name}`);
  };
}
