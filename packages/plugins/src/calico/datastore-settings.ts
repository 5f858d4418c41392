import { readFileSync } from 'node:fs';
import type { NetConf } from '@amphipod/cni';
import type { DatastoreSettings, TlsTexts } from '../lib/datastores.ts';
import { type KeyReader, readKeys } from '../lib/read-keys.ts';

const DATABASE = '/var/lib/amphipod/agent.db';

/** Where the configuration says that the datastore is. @throws CniError invalid-network-config */
export function readDatastore(config: NetConf): DatastoreSettings {
  const keys = readKeys(config);
  const type = keys.string('datastore_type') || 'etcdv3';
  switch (type) {
    case 'embedded':
      return { type: 'embedded', file: keys.string('database') || DATABASE };
    case 'etcdv3':
      return { type: 'etcd', endpoints: readEndpoints(keys), tls: readTls(keys) };
    default:
      return keys.fail('datastore_type', '"etcdv3" or "embedded"');
  }
}

function readEndpoints(keys: KeyReader): string[] {
  if (keys.string('etcd_discovery_srv'))
    keys.refuse('etcd_discovery_srv', 'etcd_discovery_srv is not supported');
  const endpoints = keys.string('etcd_endpoints');
  if (endpoints) return endpoints.split(',').map((one) => one.trim());
  const authority = keys.string('etcd_authority');
  if (authority) return [`${keys.string('etcd_scheme') || 'http'}://${authority}`];
  return keys.refuse(
    'etcd_endpoints',
    'key "etcd_endpoints": missing, want the addresses of the etcd cluster',
  );
}

function readTls(keys: KeyReader): TlsTexts {
  const read = (key: string): string | undefined => {
    const file = keys.string(key);
    if (!file) return undefined;
    try {
      return readFileSync(file, 'utf8');
    } catch (error) {
      return keys.refuse(key, `key "${key}": ${(error as Error).message}`);
    }
  };
  const [ca, cert, key] = [read('etcd_ca_cert_file'), read('etcd_cert_file'), read('etcd_key_file')];
  if ((cert === undefined) !== (key === undefined)) {
    keys.refuse('etcd_cert_file', 'etcd_cert_file and etcd_key_file: want both or neither');
  }
  return {
    ...(ca !== undefined && { ca }),
    ...(cert !== undefined && { cert }),
    ...(key !== undefined && { key }),
  };
}
