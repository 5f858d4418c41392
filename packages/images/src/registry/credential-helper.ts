import { spawn } from 'node:child_process';
import { ImageError } from '../errors.ts';
import { type Credentials, noCredentials } from './credentials.ts';

const helperTimeoutMs = 30_000;
const maxAnswerBytes = 1024 * 1024;

/**
 * Asks `docker-credential-NAME` for the credentials of a server (docker-credential-helpers' protocol: `get`, the server on
 * standard input, JSON on standard output). None when it does not know the server.
 * @throws ImageError invalid-registry-config when it cannot be started, fails, or answers nonsense; the signal's reason
 */
export async function askCredentialHelper(
  name: string,
  server: string,
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<Credentials> {
  const program = `docker-credential-${name}`;
  const failed = (cause: string, error?: unknown) =>
    new ImageError('invalid-registry-config', `ask ${program} for ${JSON.stringify(server)}: ${cause}`, {
      cause: error,
    });
  if (!/^[A-Za-z0-9._-]+$/.test(name)) throw failed('not the name of a credential helper');
  let answer: { code: number | null; stdout: string; stderr: string };
  try {
    answer = await run(program, server, signal);
  } catch (error) {
    signal?.throwIfAborted();
    throw failed((error as Error).message, error);
  }
  const { code, stdout, stderr } = answer;
  const words = `${stdout.trim()} ${stderr.trim()}`.trim().slice(0, 300);
  if (code !== 0) {
    if (/credentials not found/i.test(words)) return noCredentials;
    throw failed(
      `${code === null ? `no end within ${helperTimeoutMs / 1000} s` : `exit code ${code}`}: ${words}`,
    );
  }
  let json: Record<string, unknown>;
  try {
    json = JSON.parse(stdout);
  } catch (error) {
    throw failed('its answer is not JSON', error);
  }
  const { Username: username, Secret: secret } = json ?? {};
  if (typeof username !== 'string' || typeof secret !== 'string')
    throw failed('its answer has no "Username" and "Secret"');
  if (username === '') return noCredentials;
  // So marks the protocol a secret that is an identity token.
  if (username === '<token>') return { kind: 'identity', token: secret };
  return { kind: 'basic', username, password: secret };
}

function run(
  program: string,
  input: string,
  signal: AbortSignal | undefined,
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{
    code: number | null;
    stdout: string;
    stderr: string;
  }>();
  const child = spawn(program, ['get'], {
    stdio: 'pipe',
    timeout: helperTimeoutMs,
    killSignal: 'SIGKILL',
    ...(signal && { signal }),
  });
  const texts = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      texts[stream] += text;
      if (texts[stream].length > maxAnswerBytes) child.kill('SIGKILL');
    });
  }
  child.once('error', reject);
  child.once('close', (code) => resolve({ code, ...texts }));
  // A helper that does not read what it is asked ends the pipe.
  child.stdin.on('error', () => {});
  child.stdin.end(input);
  return promise;
}
