// A file of its own, loaded where it is needed: few nodes have YAML files to read.
export { parse as parseYaml } from 'yaml';
