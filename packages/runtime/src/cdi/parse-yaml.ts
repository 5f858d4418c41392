// A file of its own, loaded where it is needed: few nodes have YAML files to read.
import { parseAllDocuments } from 'yaml';

export { parse as parseYaml } from 'yaml';

/** Every document of a file, without the empty ones. @throws the first mistake in it */
export function parseYamlDocuments(text: string): unknown[] {
  const documents = parseAllDocuments(text);
  return ('empty' in documents ? [] : documents)
    .map((document) => {
      const [mistake] = document.errors;
      if (mistake !== undefined) throw mistake;
      return document.toJS() as unknown;
    })
    .filter((value) => value !== null && value !== undefined);
}
