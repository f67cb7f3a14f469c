/**
 * @module
 * The named ports of an endpoint as text, so that a row can hold them and equal ones are equal.
 */

import type { ContainerPort } from '../k8s/object.ts';

/** `http/6=8080,metrics/6=9090`, sorted; empty without any. */
export function formatPorts(ports: readonly ContainerPort[]): string {
  const texts = ports.map(({ name, proto, port }) => `${name}/${proto}=${port}`);
  return [...new Set(texts)].sort().join(',');
}

export function parsePorts(text: string): ContainerPort[] {
  if (text === '') return [];
  return text.split(',').map((each) => {
    const [, name = '', proto = '', port = ''] = /^(.*)\/(\d+)=(\d+)$/.exec(each) ?? [];
    return { name, proto: Number(proto), port: Number(port) };
  });
}
