/**
 * @module
 * Filters by address: source_ip, destination_ip, source_ip_xlated (an address or a
 * prefix each), ip_version, encrypted.
 */
import type { FlowFilter } from '../../api/gen/flow/flow.ts';
import { formatAddress, parseAddress } from '../../net/address.ts';
import { parsePrefix, prefixContains } from '../../net/prefix.ts';
import type { FlowFields } from '../parser/flow-fields.ts';
import { addEach, addOneOf, FilterError, type Predicate } from './predicate.ts';

export function addressFilters(filter: FlowFilter): Predicate[] {
  const tests: Predicate[] = [];
  addEach(tests, filter.source_ip, (text) => ipTest(text, (flow) => flow.sourceIp()));
  addEach(tests, filter.destination_ip, (text) => ipTest(text, (flow) => flow.destinationIp()));
  addEach(tests, filter.source_ip_xlated, (text) =>
    ipTest(text, (flow) => flow.sourceIpTranslated()),
  );
  addOneOf<number>(tests, filter.ip_version, (flow) => flow.ipVersion());
  addOneOf(tests, filter.encrypted, (flow) => flow.encrypted());
  return tests;
}

function ipTest(text: string, read: (flow: FlowFields) => string): Predicate {
  if (text.includes('/')) {
    const prefix = parsePrefix(text);
    if (prefix === undefined) throw new FilterError(`parse prefix ${JSON.stringify(text)}`);
    return (flow) => {
      const address = parseAddress(read(flow));
      return address !== undefined && prefixContains(prefix, address);
    };
  }
  const address = parseAddress(text);
  if (address === undefined) throw new FilterError(`parse address ${JSON.stringify(text)}`);
  const canonical = formatAddress(address);
  return (flow) => read(flow) === canonical;
}
