import { CniError, toCniError } from '@amphipod/cni';
import { isCode } from '@amphipod/linux';

/** An error of the datastore or the allocator as a plugin's. */
function calicoError(error: unknown): CniError {
  if (error instanceof CniError) return error;
  const message = error instanceof Error ? error.message : String(error);
  if (isCode(error, 'unavailable')) return new CniError('try-again-later', message, { cause: error });
  if (isCode(error, 'invalid-config'))
    return new CniError('invalid-network-config', message, { cause: error });
  return toCniError(error);
}

/** Runs a plugin's work with its errors put into those of plugins. */
export async function withCalicoErrors<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw calicoError(error);
  }
}

/** Why ADD cannot be served now. */
export async function withStatusErrors(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    const error = calicoError(cause);
    if (error.code === 'invalid-network-config') throw error;
    throw new CniError('plugin-not-available', error.msg, { cause });
  }
}
