/** All entries in src/ops with their test cases: those of test/ops/<op>.cases.ts, or default cases made from the spec. */
/// <reference types="vite/client" />
import type { AnyEntry, CaseSizes, TensorSpec } from '../../src/ops/spec.js';
import { defaultGradient, type Gradient } from './gradient.js';
import type { Case, OpCases } from './harness.js';

const specs = import.meta.glob<Record<string, unknown>>(['../../src/ops/*.ts', '!../../src/ops/*.reference.ts'], { eager: true });
const references = import.meta.glob<{ sizes?: CaseSizes }>('../../src/ops/*.reference.ts', { eager: true });

/** A call that an entry must refuse, and the error. */
export type Refusal = [entry: AnyEntry, c: Case, message: RegExp];

/** A file of cases. */
interface CasesModule {
  default?: OpCases[];
  /** Checks of backward entries, where the check made from the spec does not suffice. */
  gradients?: Gradient[];
  refused?: Refusal[];
  /** Cases that are run only with a certain kind of kernel, by name: see tiles.test.ts. */
  variants?: VariantCases[];
}

/** Cases that reach a kernel which the usual cases do not. */
export interface VariantCases extends OpCases {
  variant: 'tile_wide' | 'f16';
  /** The section or entry of the shader that every plan of these cases must use. */
  uses: string;
}

/** Sizes around vectors of 4 and workgroups of 64 and 256. */
const SIZES = [1, 64, 3, 8, 257, 2, 5, 255, 4, 33, 7, 256];

const modules = Object.values(import.meta.glob<CasesModule>('./*.cases.ts', { eager: true }));

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

const written = modules.flatMap((m) => m.default ?? []);
const ops = new Set(written.map(({ entry }) => entry.op));

/** `sizes` of an op's file of references. */
const sizesOf = (op: string): CaseSizes => references[`../../src/ops/${op}.reference.ts`]?.sizes ?? {};

/** Names of the tensors of an entry for which `has` holds. */
const named = ({ tensors }: AnyEntry, has: (t: TensorSpec) => unknown) =>
  Object.entries(tensors as Record<string, TensorSpec>).flatMap(([name, t]) => (has(t) ? [name] : []));

/** Every third case of an entry once more with all tensors that may be f16, if activations are among them. */
function withHalves(op: OpCases): OpCases {
  const half = named(op.entry, (t) => t.half);
  const more = half.some((name) => name !== 'w') ? op.cases.filter((_, i) => i % 3 === 0).map((c) => ({ ...c, half })) : [];
  return { ...op, cases: [...op.cases, ...more] };
}

/** The cases of every entry. */
export const all: OpCases[] = [
  ...written.map(withHalves),
  ...entries.filter(({ op }) => !ops.has(op)).map((entry) => ({ entry, cases: defaultCases(entry, sizesOf(entry.op)) })),
];

export const variants: VariantCases[] = modules.flatMap((m) => m.variants ?? []);
export const refusals: Refusal[] = modules.flatMap((m) => m.refused ?? []);

const writtenGradients = modules.flatMap((m) => m.gradients ?? []);

/** A gradient check of every op that has a backward entry. */
export const gradients: Gradient[] = [
  ...writtenGradients,
  ...entries
    .filter(({ op, entry }) => entry === 'backward' && !writtenGradients.some((g) => g.entry.op === op))
    .map((backward) => {
      const forward = entries.find(({ op, entry }) => op === backward.op && entry === 'forward')!;
      // Every element of every input is perturbed, so cases are few and small.
      const small = [0, 5].map((i) => defaultCases(forward, sizesOf(forward.op))[i]!);
      const cases = small.map((c) => Object.fromEntries(Object.entries(c).map(([name, n]) => [name, reduced(forward, name, n)])));
      return defaultGradient(forward, backward, cases);
    }),
];

/** A dim of at most 7; attributes and lists stay as they are. */
function reduced(e: AnyEntry, name: string, n: Case[string]): Case[string] {
  return typeof n === 'number' && e.dimNames.includes(name) ? Math.min(n, 7) : n;
}

/**
 * Makes 24 cases for an op that takes tensors of any sizes: every optional tensor is left out in half of them, and weights that may
 * be f16 are f16 in a third. `sizes` lists values for some dims and attributes; attributes without are 0. An op that needs
 * particular cases has a file of them.
 */
export function defaultCases(entry: AnyEntry, sizes: CaseSizes = {}): Case[] {
  const optional = named(entry, (t) => t.optional || t.between);
  const halves = named(entry, (t) => t.half);
  return Array.from({ length: 24 }, (_, i) => {
    // One dim of a case may be large, which keeps tensors small; in the second half of the cases it is another one.
    const round = Math.floor(i / SIZES.length);
    const large = (i + round) % entry.dimNames.length;
    const dims = (entry.dimNames as string[]).map((name, j) => {
      const given = sizes[name];
      if (given) return [name, given[i % given.length]!] as const;
      const size = SIZES[(i + 5 * j) % SIZES.length]!;
      return [name, j === large ? size : Math.min(size, 8)] as const;
    });
    // Shifted in the second half, so that they meet other sizes there.
    const attrs = (entry.attrNames as string[]).map((name) => {
      const given = sizes[name] ?? [0];
      return [name, given[(i + round) % given.length]!] as const;
    });
    const omit = optional.filter((_, q) => ((i >> (q % 4)) & 1) === 1);
    return { ...Object.fromEntries([...dims, ...attrs]), omit, half: i % 3 ? [] : halves };
  });
}
