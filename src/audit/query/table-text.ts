import { textOf } from './filter.ts';
import { harmless } from './row.ts';

const MAX_CELL = 100;

/** A table for a terminal, with aligned columns and numbers to the right. Long values are cut. Ends with a line feed. */
export function tableText(columns: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const texts = rows.map((row) => row.map(cellText));
  const widths = columns.map((name, at) =>
    texts.reduce((width, row) => Math.max(width, row[at]?.length ?? 0), harmless(name).length),
  );
  const lines = [columns.map(harmless), ...texts].map((row, line) =>
    row
      .map((text, at) => aligned(text, widths[at] ?? 0, line > 0 && isNumber(rows[line - 1]?.[at])))
      .join('  '),
  );
  return `${lines.map((line) => line.trimEnd()).join('\n')}\n`;
}

function cellText(value: unknown): string {
  if (value === null || value === undefined) return '-';
  const text = harmless(textOf(value));
  return text.length <= MAX_CELL ? text : `${text.slice(0, MAX_CELL - 1).toWellFormed()}…`;
}

function aligned(text: string, width: number, right: boolean): string {
  return right ? text.padStart(width) : text.padEnd(width);
}

function isNumber(value: unknown): boolean {
  return typeof value === 'number';
}
