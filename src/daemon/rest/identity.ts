/**
 * @module `/identity`: security identities, and how many endpoints have each.
 */
import { type IdentityRow, identityId, labelsKey, sortLabels } from '../identity/table.ts';
import { readLabels } from './body.ts';
import { type Reply, reply, replyEmpty } from './reply.ts';
import type { Call, Route } from './router.ts';

function identityModel(row: IdentityRow): object {
  return { id: row.id, labels: row.labels };
}

function listIdentities({ context, request }: Call): Reply {
  const labels = readLabels(request);
  if (labels.length === 0) return reply([...context.identities.all()].map(identityModel));
  // All of an identity's labels have to be named: it is the set that has the number.
  const rows = context.identities.by('labels', labelsKey(sortLabels(labels)));
  return rows.length === 0 ? replyEmpty(404) : reply(rows.map(identityModel));
}

function getIdentity({ context, parameters }: Call): Reply {
  const [text = ''] = parameters;
  if (!/^[0-9]{1,10}$/.test(text) || Number(text) > 0xffffffff) return replyEmpty(400);
  const row = context.identities.get(identityId(Number(text)));
  return row === undefined ? replyEmpty(404) : reply(identityModel(row));
}

function listIdentityEndpoints({ context }: Call): Reply {
  const used = [...context.identities.all()].filter(
    (row) => context.endpoints.by('identity', row.id).length > 0,
  );
  const models = used.map((row) => ({
    identity: identityModel(row),
    refCount: context.endpoints.by('identity', row.id).length,
  }));
  return reply(models);
}

export const identityRoutes: readonly Route[] = [
  { method: 'GET', path: '/identity', operation: 'GetIdentity', run: listIdentities },
  {
    method: 'GET',
    path: '/identity/endpoints',
    operation: 'GetIdentityEndpoints',
    run: listIdentityEndpoints,
  },
  { method: 'GET', path: '/identity/{}', operation: 'GetIdentityID', run: getIdentity },
];
