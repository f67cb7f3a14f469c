import { describe, expect, test } from 'bun:test';
import fc from 'fast-check';
import { formatLines, formatTable } from './text-table.ts';

describe('formatLines', () => {
  test('text after the last cell is not padded and does not widen', () => {
    const lines = [
      ['ID', 'LABELS'],
      ['15277', 'k8s:app=web'],
      ['', 'k8s:tier=back'],
    ];
    expect(formatLines(lines)).toBe('ID      LABELS\n15277   k8s:app=web\n        k8s:tier=back\n');
  });

  test('a column ends where a line has no cell in it', () => {
    const lines = [
      ['KVStore:', 'Disabled', ''],
      ['Kubernetes:', 'Ok', '1.34'],
      ['SRv6:', 'Disabled'],
      ['Cilium:', 'Ok', '1.18'],
    ];
    expect(formatLines(lines)).toBe(
      'KVStore:      Disabled   \nKubernetes:   Ok         1.34\nSRv6:         Disabled\nCilium:       Ok   1.18\n',
    );
  });

  test('every line of a table is as wide as the others', () => {
    const cell = fc.string({ unit: 'binary-ascii' }).map((text) => text.replaceAll(/[\n\r]/g, ''));
    const row = fc.tuple(cell, cell, cell);
    fc.assert(
      fc.property(row, fc.array(row), (header, rows) => {
        const widths = formatTable(header, rows)
          .split('\n')
          .slice(0, -1)
          .map((line) => line.length);
        expect(new Set(widths).size).toBe(1);
      }),
    );
  });
});
