import { isIP, isIPv6 } from 'node:net';

/** The family of an address as text, zones (`fe80::1%eth0`) refused; undefined for what is no address. */
export function familyOfIp(text: string): 4 | 6 | undefined {
  if (text.includes('%')) return undefined;
  const family = isIP(text);
  return family === 0 ? undefined : (family as 4 | 6);
}

/** True for `10.1.2.3/24` and `fd00::1/64`; host bits may be set. */
export function isCidr(text: string): boolean {
  const slash = text.indexOf('/');
  const prefix = text.slice(slash + 1);
  if (slash < 0 || !/^(0|[1-9]\d{0,2})$/.test(prefix)) return false;
  const address = text.slice(0, slash);
  if (familyOfIp(address) === undefined) return false;
  return Number(prefix) <= (isIPv6(address) ? 128 : 32);
}
