/**
 * @module Words for arguments that only a running agent knows, for completion: arguments of this program
 * that print them, with spaces between.
 */

export const podWords = [
  ...['dbg', 'endpoint', 'list', '-o'],
  'jsonpath={[*].status.external-identifiers.pod-name}',
];
export const endpointWords = ['dbg', 'endpoint', 'list', '-o', 'jsonpath={[*].id}'];
export const tableWords = ['dbg', 'db', 'list', '-o', 'jsonpath={[*].name}'];
