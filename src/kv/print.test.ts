import { expect, test } from 'bun:test';
import { escapeControl, formatJson, formatTable } from './print.ts';
import { done, failed, formatStatus, sameStatus } from './status.ts';

const columns = [
  { name: 'id', value: (row: { id: number; name: string }) => String(row.id) },
  { name: 'name', value: (row: { id: number; name: string }) => row.name },
];

test('columns are aligned, the last one is not padded', () => {
  const rows = [
    { id: 1, name: 'short' },
    { id: 1234, name: '' },
  ];
  expect(formatTable(columns, rows)).toBe('ID     NAME\n1      short\n1234\n');
  expect(formatTable(columns, [], { header: false })).toBe('');
});

test('a name cannot drive the terminal', () => {
  expect(formatTable(columns, [{ id: 1, name: '\u001b[31m\n\u009b\u202e' }])).toBe(
    'ID   NAME\n1    \\x1b[31m\\n\\x9b\\u202e\n',
  );
  expect(escapeControl('täglich 日本')).toBe('täglich 日本');
});

test('json keeps what JSON has no word for', () => {
  expect(
    JSON.parse(formatJson([{ a: 1n, b: new Map([['k', 1]]), c: new Uint8Array([255]) }])),
  ).toEqual([{ a: '1', b: { k: 1 }, c: 'ff' }]);
});

test('status', () => {
  expect(formatStatus(failed('no', 2))).toBe('error (2): no');
  expect(sameStatus(failed('no', 2), failed('no', 3))).toBe(false);
  expect(sameStatus(done, { kind: 'done' })).toBe(true);
});
