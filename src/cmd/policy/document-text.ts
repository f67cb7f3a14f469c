/**
 * @module A policy as a YAML document, as people write it: without anchors.
 */
import { stringify } from 'yaml';

export function yamlDocument(document: object): string {
  return `---\n${stringify(document, { aliasDuplicateObjects: false })}`;
}
