/** The ops under test, and the cases of each: those of <op>.cases.ts, or made from the shapes of its spec where it has none. */
/// <reference types="vite/client" />
import type { AnyEntry, TensorSpec } from '../../src/ops/spec.js';
import type { Case, OpCases } from './harness.js';

const specs = import.meta.glob<Record<string, unknown>>(['../../src/ops/*.ts', '!../../src/ops/*.reference.ts'], { eager: true });
const modules = import.meta.glob<{ default: OpCases[] }>('./*.cases.ts', { eager: true });

const isEntry = (value: unknown): value is AnyEntry => typeof value === 'object' && value !== null && 'dimNames' in value;

/** Every entry of every op in src/ops, once. */
export const entries: AnyEntry[] = [
  ...new Map(
    Object.values(specs)
      .flatMap((exports) => Object.values(exports))
      .flatMap((op) => (typeof op === 'object' && op !== null ? Object.values(op).filter(isEntry) : []))
      .map((entry) => [entry.key, entry]),
  ).values(),
];

const written = Object.values(modules).flatMap((m) => m.default);
const ops = new Set(written.map(({ entry }) => entry.op));

/** The cases of every entry. */
export const all: OpCases[] = [
  ...written,
  ...entries.filter(({ op }) => !ops.has(op)).map((entry) => ({ entry, cases: defaultCases(entry) })),
];

/** Around vectors of 4, workgroups of 64 and 256. */
const SIZES = [1, 64, 3, 8, 257, 2, 5, 255, 4, 33, 7, 256];

/**
 * For an op that takes tensors of any sizes: 24 of them, with every optional tensor left out in half of the cases, and weights
 * that may be f16 given so in a third. Attributes are 0. Ops that are more particular have a file of cases.
 */
export function defaultCases(entry: AnyEntry): Case[] {
  const tensors = Object.entries(entry.tensors as Record<string, TensorSpec>);
  const named = (has: (t: TensorSpec) => unknown) => tensors.filter(([, t]) => has(t)).map(([name]) => name);
  const optional = named((t) => t.optional || t.between);
  const halves = named((t) => t.half);
  return Array.from({ length: 24 }, (_, i) => {
    // One large size a case keeps tensors small; the second half of the cases has it elsewhere.
    const large = (i + Math.floor(i / SIZES.length)) % entry.dimNames.length;
    const sizes = (entry.dimNames as string[]).map((name, j) => {
      const size = SIZES[(i + 5 * j) % SIZES.length]!;
      return [name, j === large ? size : Math.min(size, 8)] as const;
    });
    const omit = optional.filter((_, q) => ((i >> (q % 4)) & 1) === 1);
    return { ...Object.fromEntries(sizes), omit, half: i % 3 ? [] : halves };
  });
}
