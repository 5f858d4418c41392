import { cidr } from './fields.ts';
import { type Resource, resource } from './metadata.ts';
import { list, type ObjectOf, object, optional } from './schema.ts';

const fields = {
  /** Networks whose addresses are not given out by themselves. */
  reservedCIDRs: optional(list(cidr())),
};

export type IpReservationSpec = ObjectOf<typeof fields>;
export type IpReservation = Resource<'IPReservation', IpReservationSpec>;

/** Addresses of pools that are not given out. */
export const ipReservation = resource('IPReservation', object(fields));
