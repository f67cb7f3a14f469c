/**
 * @module
 * Filters by what an end of a flow is: pod, service, workload, cluster, identity, DNS names.
 */
import type { Endpoint, FlowFilter, Service, Workload } from '../../api/gen/flow/flow.ts';
import type { FlowFields } from '../parser/flow-fields.ts';
import { addEach, addOneOf, FilterError, type Predicate, starPattern } from './predicate.ts';

type End = (flow: FlowFields) => Endpoint | undefined;

const source: End = (flow) => flow.source();
const destination: End = (flow) => flow.destination();

export function endpointFilters(filter: FlowFilter): Predicate[] {
  const tests: Predicate[] = [];
  addEach(tests, filter.source_pod, (text) => podTest(text, source));
  addEach(tests, filter.destination_pod, (text) => podTest(text, destination));
  addEach(tests, filter.source_service, (text) =>
    serviceTest(text, (flow) => flow.sourceService()),
  );
  addEach(tests, filter.destination_service, (text) =>
    serviceTest(text, (flow) => flow.destinationService()),
  );
  addEach(tests, filter.source_workload, (one) => workloadTest(one, source));
  addEach(tests, filter.destination_workload, (one) => workloadTest(one, destination));
  addEach(tests, filter.source_cluster_name, (name) => clusterTest(name, source));
  addEach(tests, filter.destination_cluster_name, (name) => clusterTest(name, destination));
  addOneOf(tests, filter.source_identity, (flow) => flow.source()?.identity ?? 0);
  addOneOf(tests, filter.destination_identity, (flow) => flow.destination()?.identity ?? 0);
  addEach(tests, filter.source_fqdn, (text) => nameTest(text, (flow) => flow.sourceNames()));
  addEach(tests, filter.destination_fqdn, (text) =>
    nameTest(text, (flow) => flow.destinationNames()),
  );
  return tests;
}

/** `ns/prefix`, `ns/`, `/prefix` (any namespace); without a slash the namespace is `default`. */
function splitName(text: string): { namespace: string; prefix: string } {
  const slash = text.indexOf('/');
  if (slash < 0) return { namespace: 'default', prefix: text };
  return { namespace: text.slice(0, slash), prefix: text.slice(slash + 1) };
}

function podTest(text: string, end: End): Predicate {
  const { namespace, prefix } = splitName(text);
  if (namespace === '' && prefix === '') throw new FilterError('filter by pod: the name is empty');
  return (flow) => {
    const pod = end(flow);
    if (pod === undefined) return false;
    // `ns/` also selects what is of the namespace without being a pod's packet.
    if (prefix === '') return pod.namespace === namespace;
    return (namespace === '' || pod.namespace === namespace) && pod.pod_name.startsWith(prefix);
  };
}

function serviceTest(text: string, end: (flow: FlowFields) => Service | undefined): Predicate {
  const { namespace, prefix } = splitName(text);
  if (namespace === '' && prefix === '')
    throw new FilterError('filter by service: the name is empty');
  return (flow) => {
    const service = end(flow);
    if (service === undefined || service.name === '') return false;
    return (namespace === '' || service.namespace === namespace) && service.name.startsWith(prefix);
  };
}

function workloadTest(wanted: Workload, end: End): Predicate {
  return (flow) =>
    (end(flow)?.workloads ?? []).some(
      (one) =>
        (wanted.name === '' || one.name === wanted.name) &&
        (wanted.kind === '' || one.kind === wanted.kind),
    );
}

function clusterTest(name: string, end: End): Predicate {
  if (name === '') throw new FilterError('filter by cluster: the name is empty');
  return (flow) => end(flow)?.cluster_name === name;
}

function nameTest(text: string, names: (flow: FlowFields) => readonly string[]): Predicate {
  const trimmed = text.trim().toLowerCase().replace(/\.$/, '');
  if (trimmed === '') throw new FilterError('filter by name: the name is empty');
  const pattern = starPattern(trimmed, '[-.0-9a-z]*');
  return (flow) => names(flow).some((name) => pattern.test(name.replace(/\.$/, '')));
}
