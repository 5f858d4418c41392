/** Where two JSON values differ, a line for each leaf: `links.host[1].mtu: 1500, reference 1400`. Empty when they are equal. */
export function differences(ours: unknown, reference: unknown, path = ''): string[] {
  if (Object.is(ours, reference)) return [];
  if (!isContainer(ours) || !isContainer(reference) || Array.isArray(ours) !== Array.isArray(reference)) {
    return [`${path}: ${show(ours)}, reference ${show(reference)}`];
  }
  const keys = new Set([...Object.keys(ours), ...Object.keys(reference)]);
  return [...keys].flatMap((key) => {
    const inner = Array.isArray(ours) ? `${path}[${key}]` : `${path}.${key}`;
    return differences(ours[key], reference[key], inner);
  });
}

function isContainer(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function show(value: unknown): string {
  return value === undefined ? 'absent' : JSON.stringify(value);
}
