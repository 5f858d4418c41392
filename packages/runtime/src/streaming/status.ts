import type { Outcome } from './session.ts';

/** The outcome as the error stream carries it: from `v4.channel.k8s.io` on a metav1.Status as JSON, before that words. */
export function outcomeText(outcome: Outcome, protocol: string): string {
  if (!/^v[45]\./.test(protocol)) return wordsFor(outcome);
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
    message: wordsFor(outcome),
    details: { causes: [{ reason: 'ExitCode', message: `${outcome.exitCode}` }] },
  };
}

/** Nothing for success. */
function wordsFor(outcome: Outcome): string {
  if ('error' in outcome) return outcome.error;
  return outcome.exitCode === 0 ? '' : `command terminated with non-zero exit code: ${outcome.exitCode}`;
}
