/** Which row of a model each class of a data set trains. */

/** A row is the class number that the model is given: `rows[label]` is that of the data's class `label`. */
export interface ClassRows {
  readonly rows: readonly number[];
  /** Names of the model's classes once it is trained, one per row. */
  readonly names: readonly string[];
  /** Classes whose row has another name in the model so far; training replaces that name. */
  readonly renamed: readonly { readonly name: string; readonly row: number; readonly before: string }[];
}

/**
 * Assigns rows to the classes of a data set. A class goes to the row of the same name. A class that is named by its own number
 * (IDX files without names) keeps that number, and the model's name for it. Every other class takes a row that no class of the data
 * has: first rows without a name of their own, then the lowest numbers, whose names it replaces. Thus no name is given twice, and
 * a model without names, or with none of the data's, has its rows in the data's order.
 *
 * @param data names of the data's classes, at most `count`.
 * @param model names of the model's rows, where it has some.
 */
export function classRows(data: readonly string[], model: readonly string[] | undefined, count: number): ClassRows {
  // Without names in the model the data's order counts, also where its names are numbers.
  if (!model && data.length === count) return { rows: data.map((_, k) => k), names: [...data], renamed: [] };
  const before = Array.from({ length: count }, (_, k) => model?.[k] ?? String(k));
  const rows: (number | undefined)[] = data.map((name, k) => (before[k] !== undefined && same(before[k], name) ? k : undefined));
  const used = new Set(rows.filter((row) => row !== undefined));
  const assign = (k: number, row: number | undefined) => {
    if (row === undefined) return;
    rows[k] = row;
    used.add(row);
  };
  const free = (fits: (row: number) => boolean) => before.findIndex((_, row) => !used.has(row) && fits(row));
  const first = (row: number) => (row < 0 ? undefined : row);
  data.forEach((name, k) => {
    if (rows[k] === undefined) assign(k, first(free((row) => same(before[row]!, name))));
  });
  data.forEach((name, k) => {
    if (rows[k] === undefined && name === String(k) && !used.has(k)) assign(k, k);
  });
  data.forEach((_, k) => {
    if (rows[k] !== undefined) return;
    const unnamed = free((row) => before[row] === String(row));
    assign(k, first(unnamed >= 0 ? unnamed : free(() => true)));
  });
  const names = [...before];
  const renamed: { name: string; row: number; before: string }[] = [];
  rows.forEach((row, k) => {
    const name = data[k]!;
    if (row === undefined || same(before[row]!, name) || name === String(row)) return;
    if (before[row] !== String(row)) renamed.push({ name, row, before: before[row]! });
    names[row] = name;
  });
  return { rows: rows as number[], names, renamed };
}

/** Systems store accented letters of file names in different ways. */
const same = (a: string, b: string) => a === b || a.trim().normalize('NFC') === b.trim().normalize('NFC');

/** The assignment as a line for the user; undefined where every class has the row of its place in the data. */
export function describeRows({ rows, renamed }: ClassRows, data: readonly string[]): string | undefined {
  if (renamed.length === 0 && rows.every((row, k) => row === k)) return undefined;
  const replaced = new Map(renamed.map(({ row, before }) => [row, before]));
  const parts = rows.map((row, k) => {
    const before = replaced.get(row);
    return `${data[k]} → ${row}${before === undefined ? '' : ` (was ${before})`}`;
  });
  return `classes of the data → of the model: ${parts.slice(0, 40).join(', ')}${parts.length > 40 ? ', …' : ''}`;
}
