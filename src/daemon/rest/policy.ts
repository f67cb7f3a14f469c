/**
 * @module `/policy`: the rules in force and what their selectors select. Rules come from the policy
 * directory alone, so that there is one place to look; the API shows them.
 */
import { readLabels } from './body.ts';
import { type Reply, reply, replyEmpty } from './reply.ts';
import type { Call, Route } from './router.ts';

function getPolicy({ context, request }: Call): Reply {
  const labels = readLabels(request);
  const { revision, rules } = context.policy(labels);
  if (labels.length > 0 && rules.length === 0) return replyEmpty(404);
  return reply({ policy: JSON.stringify(rules, null, 2), revision });
}

function refuseChange(): Reply {
  return reply('policies are read from the directory static-cnp-path; change the files there', 501);
}

function getSelectors({ context }: Call): Reply {
  return reply(context.selectors());
}

export const policyRoutes: readonly Route[] = [
  { method: 'GET', path: '/policy', operation: 'GetPolicy', run: getPolicy },
  { method: 'PUT', path: '/policy', operation: 'PutPolicy', run: refuseChange },
  { method: 'DELETE', path: '/policy', operation: 'DeletePolicy', run: refuseChange },
  {
    method: 'GET',
    path: '/policy/selectors',
    operation: 'GetPolicySelectors',
    run: getSelectors,
  },
];
