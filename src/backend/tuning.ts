/** Chooses among the launches that a plan offers (`GpuChoice`): the one that was measured to be fastest, else the usual one. */

import type { HasShape } from '../core/tensor.js';
import type { AnyEntry, GpuChoice, GpuLaunch, GpuPlan } from '../ops/spec.js';

/** A choice that a plan offered. */
export interface Question {
  /** The entry, the name of the choice, and the sizes of the call. */
  readonly key: string;
  readonly candidates: readonly number[];
  readonly usual: number;
  readonly entry: AnyEntry;
  readonly tensors: Readonly<Record<string, HasShape>>;
  readonly attrs: Readonly<Record<string, number>>;
}

/** The choices of one device: those that plans have offered, and the measured answers. */
export class Tuning {
  /** Candidates that were measured to be the fastest, by the key of their question. */
  readonly choices = new Map<string, number>();
  /** Choices that plans have offered so far. */
  readonly questions = new Map<string, Question>();

  /** The launch to use for a call with this plan. */
  launch(plan: GpuPlan, entry: AnyEntry, tensors: Record<string, HasShape | undefined>, dims: Record<string, number>): GpuLaunch {
    return 'choice' in plan ? plan.plan(this.choose(plan, entry, tensors, dims)) : plan;
  }

  /** The candidate to use for a call. Remembers the question, so that it can be measured later. */
  choose(
    { choice, candidates, usual }: Omit<GpuChoice, 'plan'>,
    entry: AnyEntry,
    tensors: Record<string, HasShape | undefined>,
    dims: Record<string, number>,
  ): number {
    const given = Object.entries(tensors).filter((pair): pair is [string, HasShape] => pair[1] !== undefined);
    const sizes = [...entry.dimNames, ...entry.attrNames.filter((a) => entry.attrs[a] === 'u32')].map((n) => `${n}${dims[n]}`);
    const narrow = given.filter(([, t]) => t.dtype === 'f16').map(([n]) => `${n}:f16`);
    const key = [entry.key, choice, ...sizes, ...narrow].join(' ');
    if (!this.questions.has(key)) {
      const shapes = Object.fromEntries(given.map(([n, { shape, dtype }]) => [n, { shape, dtype }]));
      const attrs = Object.fromEntries(entry.attrNames.map((n) => [n, dims[n]!]));
      this.questions.set(key, { key, candidates, usual, entry, tensors: shapes, attrs });
    }
    const chosen = this.choices.get(key);
    // Ignore a stored choice that is not offered any more: it may come from another version of the library.
    return chosen !== undefined && candidates.includes(chosen) ? chosen : usual;
  }
}
