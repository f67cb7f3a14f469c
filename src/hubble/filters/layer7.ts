/**
 * @module
 * Filters by request: http_*, dns_query. Only layer 7 flows can match them.
 */
import type { FlowFilter, HTTPHeader } from '../../api/gen/flow/flow.ts';
import { addEach, FilterError, type Predicate, regularExpression } from './predicate.ts';

const accessLog = 129;

export function layer7Filters(filter: FlowFilter): Predicate[] {
  const http = ['http_status_code', 'http_method', 'http_path', 'http_url', 'http_header'] as const;
  const asked = http.find((field) => filter[field].length > 0);
  if (asked !== undefined) checkEventTypes(filter, asked);
  const tests: Predicate[] = [];
  addEach(tests, filter.http_status_code, statusTest);
  addEach(tests, filter.http_method, (text) => {
    const method = text.toUpperCase();
    return (flow) => flow.http()?.method.toUpperCase() === method;
  });
  addEach(tests, filter.http_path, (text) => {
    const pattern = regularExpression(text, 'http_path');
    return (flow) => {
      const url = flow.http()?.url;
      return url !== undefined && pattern.test(pathOf(url));
    };
  });
  addEach(tests, filter.http_url, (text) => {
    const pattern = regularExpression(text, 'http_url');
    return (flow) => {
      const url = flow.http()?.url;
      return url !== undefined && pattern.test(url);
    };
  });
  addEach(tests, filter.http_header, headerTest);
  addEach(tests, filter.dns_query, (text) => {
    const pattern = regularExpression(text, 'dns_query');
    return (flow) => {
      const query = flow.dns()?.query;
      return query !== undefined && pattern.test(query);
    };
  });
  return tests;
}

function checkEventTypes(filter: FlowFilter, field: string): void {
  const types = filter.event_type;
  if (types.length === 0 || types.some((one) => one.type === 0 || one.type === accessLog)) return;
  throw new FilterError(`filter by ${field}: the event types asked for leave out layer 7`);
}

function pathOf(url: string): string {
  const path =
    /^[a-z][a-z0-9+.-]*:\/\/[^/?#]*([^?#]*)/i.exec(url)?.[1] ?? url.split(/[?#]/)[0] ?? '';
  return path === '' ? '/' : path;
}

/** `404`, or a prefix: `4+`, `50+`. */
function statusTest(text: string): Predicate {
  if (!/^([1-5]\d\d|[1-5]\d?\+)$/.test(text)) {
    throw new FilterError(`parse http_status_code ${JSON.stringify(text)}`);
  }
  const isPrefix = text.endsWith('+');
  const digits = isPrefix ? text.slice(0, -1) : text;
  return (flow) => {
    const code = flow.http()?.code ?? 0;
    if (code === 0) return false;
    return isPrefix ? String(code).startsWith(digits) : String(code) === digits;
  };
}

function headerTest(wanted: HTTPHeader): Predicate {
  return (flow) =>
    (flow.http()?.headers ?? []).some(
      (header) => header.key === wanted.key && header.value === wanted.value,
    );
}
