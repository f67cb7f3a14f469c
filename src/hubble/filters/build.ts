/**
 * @module
 * FlowFilter messages → one predicate. Filters of a list are alternatives, the fields
 * of a filter must all hold, values of a field are alternatives; what the whitelist
 * lets through and the blacklist does not name is wanted. Losses are always told.
 */
import type { FlowFilter } from '../../api/gen/flow/flow.ts';
import { addressFilters } from './address.ts';
import { endpointFilters } from './endpoint.ts';
import { eventFilters } from './event.ts';
import { labelFilters } from './label.ts';
import { layer7Filters } from './layer7.ts';
import { FilterError, type Predicate } from './predicate.ts';
import { transportFilters } from './transport.ts';

/** Refuses to compile more: a request costs this much per flow. */
const filtersMax = 1000;

/** Throws FilterError for a filter that is malformed or not supported. */
export function buildFilter(
  whitelist: readonly FlowFilter[],
  blacklist: readonly FlowFilter[],
): Predicate {
  if (whitelist.length + blacklist.length > filtersMax) {
    throw new FilterError(`more than ${filtersMax} filters`);
  }
  const allowed = whitelist.map(buildOne);
  const denied = blacklist.map(buildOne);
  if (allowed.length === 0 && denied.length === 0) return () => true;
  return (flow) => {
    if (flow.isLost) return true;
    if (allowed.length > 0 && !allowed.some((test) => test(flow))) return false;
    return !denied.some((test) => test(flow));
  };
}

function buildOne(filter: FlowFilter): Predicate {
  if ((filter.experimental?.cel_expression.length ?? 0) > 0) {
    throw new FilterError('filter by cel_expression: not supported');
  }
  // The cheap ones first: they refuse most flows.
  const tests = [
    ...eventFilters(filter),
    ...transportFilters(filter),
    ...endpointFilters(filter),
    ...addressFilters(filter),
    ...labelFilters(filter),
    ...layer7Filters(filter),
  ];
  return (flow) => {
    for (const test of tests) if (!test(flow)) return false;
    return true;
  };
}
