/** Steps on batches of the caller's own, held as long as they may have to be taken again after a lost device. */
import type { Values } from './batch.js';

/** What a step takes instead of the data of the run and the rate of its schedule. */
export interface OwnStep {
  readonly values: Values;
  readonly lr: number;
}

/** Bytes of batches that may be held even if a copy of the state is smaller. */
const HELD_BYTES = 64 * 2 ** 20;

export class OwnSteps {
  private readonly steps = new Map<number, OwnStep>();

  /** True if the batches take more memory than a copy of the state, of `bytes`, that would make them unnecessary. */
  exceeds(bytes: number): boolean {
    let sum = 0;
    for (const { values } of this.steps.values()) sum += values.data.byteLength + (values.labels?.byteLength ?? 0);
    return sum > Math.max(HELD_BYTES, bytes);
  }

  /** The step number `step`, counted from 0; undefined if it took the data of the run. */
  get(step: number): OwnStep | undefined {
    return this.steps.get(step);
  }
  set(step: number, own: OwnStep): void {
    this.steps.set(step, own);
  }
  delete(step: number): void {
    this.steps.delete(step);
  }
  /** Forgets the steps before number `step`: they are part of a state that is known. */
  forget(step: number): void {
    for (const taken of [...this.steps.keys()]) if (taken < step) this.steps.delete(taken);
  }
}
