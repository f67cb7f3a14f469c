/**
 * @module `/policy/export`: all that the agent judges by, for `cilium policy`. Not in upstream's API.
 */
import { type Reply, reply } from './reply.ts';
import type { Call, Route } from './router.ts';

function getPolicyExport({ context }: Call): Reply {
  return reply(context.policyExport());
}

export const policyExportRoutes: readonly Route[] = [
  {
    method: 'GET',
    path: '/policy/export',
    operation: 'GetPolicyExport',
    run: getPolicyExport,
  },
];
