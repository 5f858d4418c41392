/** `PCIDEVICE_EXAMPLE_COM_FAST`, as programs for the peer look for it. */
export function environmentVariable(resourceName: string): string {
  return `PCIDEVICE_${resourceName.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_')}`;
}
