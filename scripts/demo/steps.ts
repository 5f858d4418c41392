/** Runs steps one after another and prints a line for each: what it was, what came of it, how long it took. */
export type RunStep = <T>(
  title: string,
  act: () => Promise<T> | T,
  detail?: (result: T) => string,
) => Promise<T>;

/** With a signal, no further step begins once it is aborted. */
export function createSteps(out: NodeJS.WriteStream, signal?: AbortSignal): RunStep {
  return async (title, act, detail = () => '') => {
    signal?.throwIfAborted();
    const startMs = performance.now();
    const finish = (mark: string, text: string) => {
      const time = `${Math.round(performance.now() - startMs)} ms`;
      const line = `  ${mark} ${title.padEnd(20)} ${text.padEnd(46)} ${time.padStart(8)}`;
      out.write(`${out.isTTY ? '\r\x1b[K' : ''}${line}\n`);
    };
    if (out.isTTY) out.write(`  … ${title}`);
    try {
      const result = await act();
      finish('✓', detail(result));
      return result;
    } catch (error) {
      finish('✗', '');
      throw error;
    }
  };
}
