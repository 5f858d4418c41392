import { objectName } from './fields.ts';
import { placeOf } from './place.ts';
import {
  anything,
  map,
  nullable,
  type ObjectOf,
  object,
  optional,
  required,
  type Schema,
  text,
} from './schema.ts';

/** The API that all resources are written in. */
export const apiVersion = 'projectcalico.org/v3';
const CRD_API_VERSION = 'crd.projectcalico.org/v1';

const LABEL_VALUE = /^(?:[A-Za-z0-9](?:[-\w.]*[A-Za-z0-9])?)?$/;
const MAX_LABEL_VALUE = 63;
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/;

const labels = map(
  text((value) =>
    LABEL_VALUE.test(value) && value.length <= MAX_LABEL_VALUE
      ? undefined
      : `must be a label's value: letters, digits, "-", "_" and ".", at most ${MAX_LABEL_VALUE} characters`,
  ),
);

/** A moment as Kubernetes writes it: `2026-12-01T12:00:00Z`. */
export const timestamp: Schema<string> = text((value) =>
  TIME.test(value) ? undefined : 'must be a time such as "2026-12-01T12:00:00Z"',
);

const metadataFields = {
  name: required(objectName),
  /** Kubernetes makes names of it; we refuse a resource that has no name of its own. */
  generateName: optional(text()),
  namespace: optional(objectName),
  selfLink: optional(text()),
  uid: optional(text()),
  /** The revision of the datastore that the resource was read at: an update of another one is refused. Never stored. */
  resourceVersion: optional(text()),
  generation: optional(anything),
  creationTimestamp: optional(timestamp),
  deletionTimestamp: optional(timestamp),
  deletionGracePeriodSeconds: optional(anything),
  labels: optional(labels),
  annotations: optional(map(text())),
  ownerReferences: optional(anything),
  finalizers: optional(anything),
  managedFields: optional(anything),
};

/** What all resources say of themselves. */
export type ResourceMetadata = ObjectOf<typeof metadataFields>;

/** A resource of Calico. */
export interface Resource<Kind extends string = string, Spec = unknown> {
  readonly kind: Kind;
  readonly apiVersion: typeof apiVersion;
  readonly metadata: ResourceMetadata;
  readonly spec: Spec;
  readonly status?: unknown;
}

const metadata = object(metadataFields);

const apiVersionText = text((value) =>
  value === apiVersion || value === CRD_API_VERSION
    ? undefined
    : `must be ${apiVersion} (${CRD_API_VERSION} is taken as well)`,
);

/** A resource of one kind, whose `spec` is read by this schema. */
export function resource<const Kind extends string, Spec>(
  kind: Kind,
  spec: Schema<Spec>,
): Schema<Resource<Kind, Spec>> {
  const schema = object({
    kind: nullable(text((value) => (value === kind ? undefined : `must be ${kind}`))),
    apiVersion: nullable(apiVersionText),
    metadata: required(metadata),
    spec: nullable(spec),
    status: optional(anything),
  });
  return {
    read(value, place) {
      const { kind: _kind, apiVersion: _version, metadata: found, ...rest } = schema.read(value, place);
      return {
        kind,
        apiVersion,
        metadata: found,
        ...rest,
        spec: rest.spec ?? spec.read({}, placeOf(place, 'spec')),
      };
    },
  };
}
