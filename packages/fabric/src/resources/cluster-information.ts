import { type Resource, resource } from './metadata.ts';
import { flag, nullable, type ObjectOf, object, optional, text } from './schema.ts';

const fields = {
  clusterGUID: optional(text()),
  clusterType: optional(text()),
  calicoVersion: optional(text()),
  /** False while the datastore is being moved: nothing may be given out then. */
  datastoreReady: nullable(flag),
  variant: optional(text()),
};

export type ClusterInformation = Resource<'ClusterInformation', ObjectOf<typeof fields>>;

/** What the cluster is: one object, `default`. */
export const clusterInformation = resource('ClusterInformation', object(fields));
