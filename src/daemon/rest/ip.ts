/**
 * @module `/ip`: which identity an address or prefix has on this node.
 */
import { parsePrefix, prefixCovers } from '../../net/prefix.ts';
import type { IpcacheRow } from '../ipcache/table.ts';
import { readLabels } from './body.ts';
import { type Reply, reply, replyEmpty } from './reply.ts';
import type { Call, Route } from './router.ts';

function listIps({ context, request, url }: Call): Reply {
  const labels = readLabels(request);
  const text = url.searchParams.get('cidr');
  const cidr = text === null || text === '' ? undefined : parsePrefix(text);
  if (text && cidr === undefined) return reply(`invalid CIDR address: ${text}`, 400);
  const rows = [...context.ipcache.all()].filter((row) => {
    const prefix = parsePrefix(row.prefix);
    if (cidr !== undefined && (prefix === undefined || !prefixCovers(cidr, prefix))) return false;
    const owned = context.identities.get(row.identity)?.labels ?? [];
    return labels.every((label) => owned.includes(label));
  });
  if (rows.length === 0 && (cidr !== undefined || labels.length > 0)) return replyEmpty(404);
  const { nodeIpv4, nodeIpv6 } = context.settings;
  return reply(rows.map((row) => ipModel(row, nodeIpv4 ?? nodeIpv6)));
}

function ipModel(row: IpcacheRow, nodeIp: string | undefined): object {
  const isPod = row.podName !== '';
  return {
    cidr: row.prefix,
    ...(isPod && nodeIp !== undefined ? { hostIP: nodeIp } : {}),
    identity: row.identity,
    ...(isPod
      ? { metadata: { name: row.podName, namespace: row.namespace, source: row.source } }
      : {}),
  };
}

export const ipRoutes: readonly Route[] = [
  { method: 'GET', path: '/ip', operation: 'GetIP', run: listIps },
];
