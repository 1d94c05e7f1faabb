import { alignColumns, textTable } from '@thimble/base';
import { expect, test } from 'vitest';

test('columns are as wide as their widest cell', () => {
  const rows = [
    ['layer', 'kind', 'bytes'],
    ['fc1', 'dense', '1,200'],
    ['output layer', '', '5'],
  ];
  expect(alignColumns(rows, 2)).toEqual([
    'layer         kind   bytes',
    'fc1           dense  1,200',
    'output layer             5',
  ]);
  expect(alignColumns([], 1)).toEqual([]);
});

test('a table has a rule below its head', () => {
  const rows = [
    ['', 'a', 'bcd'],
    ['left', '12', ''],
  ];
  expect(textTable(rows)).toBe('       a  bcd\n----  --  ---\nleft  12');
});
