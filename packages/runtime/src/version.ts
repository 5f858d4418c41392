import packageJson from '../package.json' with { type: 'json' };

/** Of this project, all packages alike. */
export const runtimeVersion: string = packageJson.version;
