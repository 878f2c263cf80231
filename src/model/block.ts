/**
 * One layer of stage 2: a residual sum, RMSNorm with adaLN, and a mixer. The gate is applied in the next layer's residual sum.
 */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { addRmsNorm } from '../ops/add_rms_norm.js';
import { type Acts, activationBytes, activations } from './acts.js';
import { normBackward } from './backward.js';
import type { AimConfig } from './config.js';
import type { LayerInput, Past } from './mixer.js';
import { layerMixer } from './mixers.js';
import { layerModulationParams } from './modulation.js';
import { normParams, type ParamTree } from './params.js';

/** Parameters below `layers.i`. */
export function blockParams(c: AimConfig, i: number): ParamTree {
  const { mixer, config } = layerMixer(c, i);
  return { ...layerModulationParams(c), mixer: mixer.params(config, c.n_layer), norm: normParams(c.d_model) };
}
/** The tree of `blockParams` with tensors, without the adaLN parameters (ModulationParams). */
export interface BlockParams {
  mixer: object;
  norm: { weight: Tensor };
}

/** res: the residual sum. u: the mixer's input, which fused kernels do not write. out: the mixer's output. */
const ACTS = activations({ res: 'm l d', u: 'm l d' }, ['out']);

/** Bytes that a layer saves for backward, for m sequences of l positions. */
export function blockBytes(c: AimConfig, i: number, m: number, l: number): number {
  const { mixer, config } = layerMixer(c, i);
  const { spec, dims } = mixer.activations(config);
  return activationBytes(ACTS, { m, l, d: c.d_model }) + activationBytes(spec, { m, l, ...dims });
}

/** The values that one layer passes to the next: the residual sum is res + gate·x. */
export type Stream = Pick<LayerInput, 'x' | 'res' | 'gate'>;

/** Computes res' = res + gate·x, x' = Mixer(RMSNorm(res')·(1 + scale) + shift), and the gate of `modulation` [m, 3, d]. */
export function blockForward(
  be: Backend,
  p: BlockParams,
  c: AimConfig,
  i: number,
  stream: Stream,
  modulation: Tensor,
  a: Acts,
  past?: Past,
): Stream {
  const [m, l, d] = stream.x.shape as [number, number, number];
  const { mixer, config } = layerMixer(c, i);
  const act = a.part(ACTS, { m, l, d });
  const res = act.tensor('res');
  const input = { ...stream, weight: p.norm.weight, modulation, sum: res, u: act.forBackward('u') };
  const x = mixer.forward(be, p.mixer, config, input, a.child('mixer'), past);
  act.input('out', x);
  return { x, res, gate: modulation };
}

/**
 * From dres [m, l, d], the gradient of the sum res + gate·x after the layer, computes the gradient [m, l, d] of this sum before
 * the layer. Frees dres. Adds to the gradients `g` of the parameters and to `dmodulation` [m, 3, d].
 */
export function blockBackward(
  be: Backend,
  p: BlockParams,
  g: BlockParams,
  c: AimConfig,
  i: number,
  { dres, modulation, dmodulation }: { dres: Tensor; modulation: Tensor; dmodulation: Tensor },
  a: Acts,
): Tensor {
  const { res, u, out } = a.saved(ACTS);
  const { mixer, config } = layerMixer(c, i);
  // forward: the next sum = res + gate·x
  const dx = be.tensor(out.shape);
  be.run(addRmsNorm.backward_gate, { x: out, gate: modulation, dres, dx, dgate: dmodulation });
  // forward: x = Mixer(u)
  const du = mixer.backward(be, p.mixer, g.mixer, config, u, dx, a.child('mixer'));
  be.free(dx);
  // forward: u = RMSNorm(res)·(1 + scale) + shift; the next sum used res too
  const { weight } = p.norm;
  const before = normBackward(be, { sum: res, weight, dweight: g.norm.weight, dy: du, dsum: dres, modulation, dmodulation });
  be.free(du, dres);
  return before;
}
