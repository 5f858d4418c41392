import { CniError, toCniError } from '@amphipod/cni';
import { UndoStack } from '@amphipod/linux';

/** Runs `work`; if it fails, what it registered is undone. What could not be undone is told in the error's details. */
export async function withUndo<T>(work: (undo: UndoStack) => Promise<T>): Promise<T> {
  const left: string[] = [];
  try {
    await using undo = new UndoStack((what, error) => {
      left.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
    });
    const result = await work(undo);
    undo.commit();
    return result;
  } catch (error) {
    if (left.length === 0) throw error;
    const { number, msg, details } = toCniError(error);
    const notUndone = `not undone: ${left.join(', ')}`;
    throw new CniError(number, msg, {
      details: details === '' ? notUndone : `${details}; ${notUndone}`,
      cause: error,
    });
  }
}
