/**
 * @module Parts of the API whose feature this agent does not have: the honest empty answer, so that
 * clients that ask for everything go on.
 */
import { reply, replyEmpty } from './reply.ts';
import type { Operation, Route } from './router.ts';

const nothing: Operation = () => reply([]);
const notFound: Operation = () => replyEmpty(404);
const noBgp: Operation = () => reply('BGP control plane is disabled', 501);
const noPrefilter: Operation = () => reply('prefilter is not enabled in daemon', 500);
const noRecorder: Operation = () => reply('recorder is not supported', 500);
const noPods: Operation = () => reply({ 'pod-metadatas': [] });
const noNames: Operation = () => reply({ DNSPollNames: null, FQDNPolicySelectors: [] });
const accepted: Operation = () => replyEmpty();

/** The answers, one line each. */
const answers: readonly (readonly [Route['method'], string, string, Operation])[] = [
  ['GET', '/lrp', 'GetLrp', nothing],
  ['GET', '/service', 'GetService', nothing],
  ['GET', '/service/{}', 'GetServiceID', notFound],
  ['GET', '/recorder', 'GetRecorder', nothing],
  ['GET', '/recorder/masks', 'GetRecorderMasks', nothing],
  ['GET', '/recorder/{}', 'GetRecorderID', notFound],
  ['PUT', '/recorder/{}', 'PutRecorderID', noRecorder],
  ['DELETE', '/recorder/{}', 'DeleteRecorderID', notFound],
  ['GET', '/prefilter', 'GetPrefilter', noPrefilter],
  ['PATCH', '/prefilter', 'PatchPrefilter', noPrefilter],
  ['DELETE', '/prefilter', 'DeletePrefilter', noPrefilter],
  ['GET', '/cgroup-dump-metadata', 'GetCgroupDumpMetadata', noPods],
  ['GET', '/fqdn/cache', 'GetFqdnCache', notFound],
  ['DELETE', '/fqdn/cache', 'DeleteFqdnCache', accepted],
  ['GET', '/fqdn/cache/{}', 'GetFqdnCacheID', notFound],
  ['GET', '/fqdn/names', 'GetFqdnNames', noNames],
  ['GET', '/bgp/peers', 'GetBgpPeers', noBgp],
  ['GET', '/bgp/routes', 'GetBgpRoutes', noBgp],
  ['GET', '/bgp/route-policies', 'GetBgpRoutePolicies', noBgp],
];

export const absentRoutes: readonly Route[] = answers.map(([method, path, operation, run]) => ({
  method,
  path,
  operation,
  run,
}));
