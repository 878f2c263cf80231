/** What an experiment is: cells, each of which gives rows of its table, and a plot of all rows. */
import type { AimImage } from '../../io/image.js';
import type { Material } from './material.js';
import type { Scale } from './scale.js';

export type Row = Record<string, string | number | boolean>;

/** A part of an experiment that is computed as a whole, and kept when it is done. */
export interface Cell {
  name: string;
  /** Its settings: with others it is another cell. */
  settings: unknown;
  run(m: Material): Promise<Result>;
}

export interface Result {
  rows: Row[];
  /** A few images that were drawn. */
  samples?: readonly AimImage[] | undefined;
}

export interface Experiment {
  readonly name: string;
  /** A phrase for the help text. */
  readonly about: string;
  /** Whether it needs images; else it takes time alone. */
  readonly data: boolean;
  cells(scale: Scale): Cell[];
  /** An SVG file. */
  plot(rows: readonly Row[]): string;
  /** Sentences below the table. */
  notes?(rows: readonly Row[]): string[];
}

/** Rows as points of a plot: the columns x and y. */
export const points = (rows: readonly Row[], x: string, y: string) =>
  rows
    .filter((row) => typeof row[x] === 'number' && typeof row[y] === 'number')
    .map((row) => ({ step: row[x] as number, loss: row[y] as number }));

export const round = (value: number, digits = 4) => Number(value.toPrecision(digits));
