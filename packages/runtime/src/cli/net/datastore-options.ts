import { readFileSync } from 'node:fs';
import { type Datastore, openEmbeddedDatastore, openEtcdDatastore } from '@amphipod/fabric';
import type { CommandContext, OptionSpecs, OptionValues } from '../command.ts';
import { CliError } from '../errors.ts';

const DATABASE = '/var/lib/amphipod/agent.db';

/** The options of commands that work with the network's datastore. */
export const datastoreOptions = {
  'etcd-endpoints': { type: 'string', value: 'URL,...', help: 'the etcd cluster (ETCD_ENDPOINTS)' },
  'etcd-cafile': { type: 'string', value: 'FILE', help: 'its authorities, PEM (ETCD_CA_CERT_FILE)' },
  'etcd-certfile': { type: 'string', value: 'FILE', help: 'our certificate, PEM (ETCD_CERT_FILE)' },
  'etcd-keyfile': { type: 'string', value: 'FILE', help: 'its key, PEM (ETCD_KEY_FILE)' },
  database: { type: 'string', value: 'FILE', help: `datastore of a single node (${DATABASE})` },
} as const satisfies OptionSpecs;

type Values = OptionValues<typeof datastoreOptions>;

/** Opens the datastore for one command; what goes wrong is told in one line. */
export async function withDatastore<T>(
  values: Values,
  env: CommandContext['env'],
  work: (store: Datastore) => Promise<T>,
): Promise<T> {
  try {
    await using store = openStore(values, env);
    return await work(store);
  } catch (error) {
    if (error instanceof CliError) throw error;
    throw new CliError((error as Error).message, { cause: error });
  }
}

function openStore(values: Values, env: CommandContext['env']): Datastore {
  // The variables are those of calicoctl; a file that is named beats them.
  const endpoints =
    values['etcd-endpoints'] ?? (values.database === undefined ? env.ETCD_ENDPOINTS : undefined);
  if (!endpoints) return openEmbeddedDatastore(values.database ?? DATABASE);
  const read = (file: string | undefined) => (file ? readFileSync(file) : undefined);
  const ca = read(values['etcd-cafile'] ?? env.ETCD_CA_CERT_FILE);
  const cert = read(values['etcd-certfile'] ?? env.ETCD_CERT_FILE);
  const key = read(values['etcd-keyfile'] ?? env.ETCD_KEY_FILE);
  return openEtcdDatastore({
    endpoints: endpoints.split(','),
    tls: { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) },
  });
}
