/** Codes that no image uses any more restart at features of the batch (`restart_codes`), on one device. */
import type { Backend } from '../backend/backend.js';
import { streamKey } from '../core/random.js';
import type { Tensor } from '../core/tensor.js';
import { copyFirstColumns, flat, zeros } from '../model/layers.js';
import type { PlacedParam } from '../model/load.js';
import { init, param } from '../model/params.js';
import { codeAge } from '../ops/code_age.js';
import { restartCodes } from '../ops/restart_codes.js';
import { sum } from '../ops/sum.js';
import type { Slot } from './optimizer.js';

export class CodeRestarts {
  /** [1] codes that restarted at the last step. */
  readonly count: Tensor;
  /** [v] steps since each code was used. */
  private readonly age: Tensor;
  private readonly draw: Tensor;
  private readonly restarted: Tensor;
  /** The features of the newest batch [b, h, w, d]. */
  private readonly features: Tensor;

  /**
   * @param codebook The codebook with its moments and average.
   * @param features The shape [b, h, w, d] of the features of a batch.
   */
  constructor(
    private readonly be: Backend,
    private readonly codebook: Slot,
    features: readonly number[],
    private readonly options: { restartCodes: number; seed: number },
  ) {
    const v = codebook.param.shape[0]!;
    this.age = zeros(be, [v]);
    this.count = zeros(be, [1]);
    this.restarted = be.tensor([v]);
    this.draw = be.tensor([3], 'u32');
    this.features = be.tensor(features);
  }

  /** What checkpoints hold. */
  get saved(): [string, PlacedParam][] {
    return [['codes.age', { spec: param(this.age.shape, init.zeros), tensor: this.age }]];
  }

  /** Marks the codes of a batch as used, and keeps its features [..., d]. Recordable. */
  see(codes: Tensor, features: Tensor): void {
    this.be.run(codeAge.forward, { codes, age: this.age });
    copyFirstColumns(this.be, features, this.features);
  }

  /** Not recordable. `step` is counted from 0. */
  prepare(step: number): void {
    this.be.write(this.draw, Uint32Array.of(...streamKey(this.options.seed, 'codes'), step % 2 ** 32));
  }

  /** Counts the step, and restarts codes. After the update of the weights. Recordable. */
  update(): void {
    const { be, age, draw, restarted } = this;
    const { param: codebook, m, v: s, ema } = this.codebook;
    const [, d] = codebook.shape as [number, number];
    const z = be.reshape(this.features, [this.features.size / d, d]);
    be.run(restartCodes.forward, { z, draw, age, codebook, m, s, ema, restarted }, { patience: this.options.restartCodes });
    be.run(sum.forward, { x: flat(be, restarted), y: this.count }, { scale: 1 });
  }

  dispose(): void {
    this.be.free(this.age, this.draw, this.restarted, this.count, this.features);
  }
}
