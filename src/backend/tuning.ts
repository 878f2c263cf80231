/** Which of several launches a device takes for a call, where they differ in speed alone (`GpuCaps.choose`). */

import type { HasShape } from '../core/tensor.js';
import type { AnyEntry, GpuCaps } from '../ops/spec.js';

/** A choice that a plan had. */
export interface Question {
  /** The entry, what is chosen, and the sizes of the call, which decide what is fastest. */
  readonly key: string;
  readonly candidates: readonly number[];
  readonly usual: number;
  readonly entry: AnyEntry;
  readonly tensors: Readonly<Record<string, HasShape>>;
  readonly attrs: Readonly<Record<string, number>>;
}

export class Tuning {
  /** Candidates chosen, by the question's key. */
  readonly choices = new Map<string, number>();
  /** What plans asked so far. */
  readonly questions = new Map<string, Question>();

  /** `choose` for a plan of this call. */
  chooser(entry: AnyEntry, tensors: Record<string, HasShape | undefined>, dims: Record<string, number>): GpuCaps['choose'] {
    return (name, candidates, usual) => {
      const given = Object.entries(tensors).filter((pair): pair is [string, HasShape] => pair[1] !== undefined);
      const sizes = [...entry.dimNames, ...entry.attrNames.filter((a) => entry.attrs[a] === 'u32')].map((n) => `${n}${dims[n]}`);
      const narrow = given.filter(([, t]) => t.dtype === 'f16').map(([n]) => `${n}:f16`);
      const key = [entry.key, name, ...sizes, ...narrow].join(' ');
      if (!this.questions.has(key)) {
        const shapes = Object.fromEntries(given.map(([n, { shape, dtype }]) => [n, { shape, dtype }]));
        const attrs = Object.fromEntries(entry.attrNames.map((n) => [n, dims[n]!]));
        this.questions.set(key, { key, candidates, usual, entry, tensors: shapes, attrs });
      }
      const chosen = this.choices.get(key);
      // What was kept may be of another version of the library.
      return chosen !== undefined && candidates.includes(chosen) ? chosen : usual;
    };
  }
}
