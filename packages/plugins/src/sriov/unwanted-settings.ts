import type { VfInfo, VfSettings } from '@amphipod/netlink';
import { defaultPlaces, type Places } from './places.ts';
import { readRecord } from './records.ts';
import { defaultSettings, describeSetting, differences } from './settings.ts';

/** Settings of a virtual function that are not as its pod asked for; without a pod those that are not as a driver starts with. */
export function unwantedSettings(address: string, now: VfInfo, places: Places = defaultPlaces): string[] {
  const wanted = readRecord(places, address)?.wanted ?? defaultSettings;
  return Object.keys(differences(wanted, now)).map((key) => describeSetting(key as keyof VfSettings, now));
}
