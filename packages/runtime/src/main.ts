import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

// Stripping types is most of the start-up time of a short command; the cache does it once per version of a file.
enableCompileCache(fileURLToPath(new URL('../../../node_modules/.cache/amphipod', import.meta.url)));
const { dispatch } = await import('./cli/dispatch.ts');

// `amphipod logs x | head` ends when head does.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});
process.exitCode = await dispatch(process.argv.slice(2), process.env, process);
