import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FabricError } from '../errors.ts';
import type { KubernetesConfig } from './config.ts';

/** Where Kubernetes mounts a pod's service account. */
const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount';

export interface InClusterOptions {
  /** Has KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT. */
  env: NodeJS.ProcessEnv;
  /** The directory with `token` and `ca.crt`. */
  serviceAccount?: string;
}

/**
 * The API server of the cluster that we run in as a pod, with the pod's service account.
 * @throws FabricError `invalid-config` outside of a pod
 */
export function inClusterConfig({
  env,
  serviceAccount = SERVICE_ACCOUNT,
}: InClusterOptions): KubernetesConfig {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = env;
  const missing = host ? 'KUBERNETES_SERVICE_PORT' : 'KUBERNETES_SERVICE_HOST';
  if (!host || !port) {
    throw new FabricError(
      'invalid-config',
      `find API server: variable ${missing} is not set, as it would be in a pod; name a kubeconfig file`,
    );
  }
  const config: KubernetesConfig = {
    server: new URL(`https://${host.includes(':') ? `[${host}]` : host}:${port}`),
    skipTlsVerify: false,
    credentials: () => ({
      ca: readSecret(join(serviceAccount, 'ca.crt')),
      token: readSecret(join(serviceAccount, 'token')).trim(),
    }),
  };
  config.credentials();
  return config;
}

function readSecret(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    const text = `read service account ${JSON.stringify(file)}: ${(cause as Error).message}`;
    throw new FabricError('invalid-config', text, { cause });
  }
}
