import { formatIp, type NftElement } from '@amphipod/netlink';

/** One text for elements that are the same to a set or map. */
export function elementText({ key, keyEnd = key, verdict }: NftElement): string {
  const text = (values: NftElement['key']) =>
    values
      .map((value) => (typeof value === 'object' && 'family' in value ? formatIp(value) : String(value)))
      .join(' ');
  const way = verdict !== undefined && 'chain' in verdict ? verdict.chain : '';
  return `${text(key)} ${text(keyEnd)} ${way}`;
}
