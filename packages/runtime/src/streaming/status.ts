import type { Outcome } from './session.ts';

/** The outcome as the error stream of `v4.channel.k8s.io` and later carries it: a metav1.Status as JSON. */
export function statusJson(outcome: Outcome): string {
  return JSON.stringify({ metadata: {}, ...statusOf(outcome) });
}

function statusOf(outcome: Outcome): Record<string, unknown> {
  if ('error' in outcome) {
    return { status: 'Failure', reason: 'InternalError', code: 500, message: outcome.error };
  }
  if (outcome.exitCode === 0) return { status: 'Success' };
  return {
    status: 'Failure',
    reason: 'NonZeroExitCode',
    message: statusText(outcome),
    details: { causes: [{ reason: 'ExitCode', message: `${outcome.exitCode}` }] },
  };
}

/** The outcome for older protocols: words for people, nothing for success. */
export function statusText(outcome: Outcome): string {
  if ('error' in outcome) return outcome.error;
  return outcome.exitCode === 0 ? '' : `command terminated with non-zero exit code: ${outcome.exitCode}`;
}
