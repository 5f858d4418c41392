export const builtinPlugins = () => undefined as never;
