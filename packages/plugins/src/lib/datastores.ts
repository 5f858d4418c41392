import type { Datastore } from '@amphipod/fabric/client';

/** Where the network's datastore is. */
export type DatastoreSettings =
  | { readonly type: 'etcd'; readonly endpoints: readonly string[]; readonly tls: TlsTexts }
  /** A file of this machine, for a single node. */
  | { readonly type: 'embedded'; readonly file: string };

/** PEM. */
export interface TlsTexts {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/** Open datastores, which are kept: a connection takes longer to make than an address to get. */
export interface Datastores extends AsyncDisposable {
  get(settings: DatastoreSettings): Promise<Datastore>;
}

export function createDatastores(open: (settings: DatastoreSettings) => Promise<Datastore>): Datastores {
  const stores = new Map<string, Promise<Datastore>>();
  return {
    get(settings) {
      const key = JSON.stringify(settings);
      const found = stores.get(key);
      if (found !== undefined) return found;
      const opened = open(settings);
      stores.set(key, opened);
      opened.catch(() => stores.delete(key));
      return opened;
    },
    async [Symbol.asyncDispose]() {
      for (const store of stores.values()) await (await store)[Symbol.asyncDispose]();
      stores.clear();
    },
  };
}

/** Opens a datastore; what that takes is loaded now. */
export async function openDatastore(settings: DatastoreSettings): Promise<Datastore> {
  const { openEmbeddedDatastore, openEtcdDatastore } = await import('@amphipod/fabric/calico');
  if (settings.type === 'embedded') return openEmbeddedDatastore(settings.file);
  const { endpoints, tls } = settings;
  const bytes = (text: string | undefined) => (text === undefined ? undefined : Buffer.from(text));
  const [ca, cert, key] = [bytes(tls.ca), bytes(tls.cert), bytes(tls.key)];
  return openEtcdDatastore({
    endpoints: [...endpoints],
    tls: { ...(ca && { ca }), ...(cert && { cert }), ...(key && { key }) },
  });
}
