/**
 * @module A policy as a YAML document, as people write it: without anchors.
 */
import { stringify } from 'yaml';

/** Quotes what kubectl, which reads YAML 1.1, would take for no text: `yes`, `off`, `0x1f`, `1_000`. */
export function yamlDocument(document: object): string {
  return `---\n${stringify(document, { aliasDuplicateObjects: false, compat: 'yaml-1.1' })}`;
}
