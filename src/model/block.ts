/**
 * One layer of stage 2: a residual sum, RMSNorm with adaLN, and a mixer; with an MLP, the same once more. The gate of each is applied in
 * the next residual sum.
 */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { addRmsNorm } from '../ops/add_rms_norm.js';
import { type Acts, activationBytes, activations } from './acts.js';
import { normBackward } from './backward.js';
import type { AimConfig } from './config.js';
import type { Branch, LayerInput, Past } from './mixer.js';
import { layerMixer, mlpBranch } from './mixers.js';
import { layerModulationParams } from './modulation.js';
import { normParams, type ParamTree } from './params.js';

/** A residual branch of a layer: the names of its norm and of what follows, and what that computes. */
interface LayerBranch {
  readonly norm: 'norm' | 'norm2';
  readonly part: 'mixer' | 'mlp';
  readonly branch: Branch;
  readonly config: unknown;
}

/** The branches of layer i, in order. */
function branchesOf(c: AimConfig, i: number): LayerBranch[] {
  const { mixer, config } = layerMixer(c, i);
  const branches: LayerBranch[] = [{ norm: 'norm', part: 'mixer', branch: mixer as Branch, config }];
  if (c.mlp_hidden)
    branches.push({ norm: 'norm2', part: 'mlp', branch: mlpBranch(), config: { d_model: c.d_model, hidden: c.mlp_hidden } });
  return branches;
}

/** Parameters below `layers.i`. */
export function blockParams(c: AimConfig, i: number): ParamTree {
  const parts = branchesOf(c, i).map(({ norm, part, branch, config }) => ({
    [part]: branch.params(config, c.n_layer),
    [norm]: normParams(c.d_model),
  }));
  return Object.assign(layerModulationParams(c), ...parts);
}
/** The tree of `blockParams` with tensors, without the adaLN parameters (ModulationParams). */
export interface BlockParams {
  mixer: object;
  norm: { weight: Tensor };
  mlp?: object;
  norm2?: { weight: Tensor };
}

/** res: the residual sum. u: the branch's input, which fused kernels do not write. out: the branch's output. */
const ACTS = activations({ res: 'm l d', u: 'm l d' }, ['out']);

/** Bytes that a layer saves for backward, for m sequences of l positions. */
export const blockBytes = (c: AimConfig, i: number, m: number, l: number): number =>
  branchesOf(c, i).reduce((sum, { branch, config }) => {
    const { spec, dims } = branch.activations(config);
    return sum + activationBytes(ACTS, { m, l, d: c.d_model }) + activationBytes(spec, { m, l, ...dims });
  }, 0);

/** The values that one branch passes to the next: the residual sum is res + gate·x. */
export type Stream = Pick<LayerInput, 'x' | 'res' | 'gate'>;

/** The activations of a branch; the mixer's are the layer's own. */
const actsOf = (a: Acts, part: LayerBranch['part']) => (part === 'mlp' ? a.child('norm2') : a);

/**
 * For each branch f of the layer computes res' = res + gate·x and x' = f(RMSNorm(res')·(1 + scale) + shift). The gate that follows
 * is the branch's. `modulation` has the vectors [m, 3, d] of each branch.
 */
export function blockForward(
  be: Backend,
  p: BlockParams,
  c: AimConfig,
  i: number,
  stream: Stream,
  modulation: readonly Tensor[],
  a: Acts,
  past?: Past,
): Stream {
  const [m, l, d] = stream.x.shape as [number, number, number];
  let { x, res, gate } = stream;
  for (const [k, { norm, part, branch, config }] of branchesOf(c, i).entries()) {
    const own = actsOf(a, part);
    const act = own.part(ACTS, { m, l, d });
    const sum = act.tensor('res');
    const vectors = modulation[k]!;
    const input = { x, res, gate, weight: p[norm]!.weight, modulation: vectors, sum, u: act.forBackward('u') };
    x = branch.forward(be, p[part]!, config, input, own.child(part), past);
    act.input('out', x);
    [res, gate] = [sum, vectors];
  }
  return { x, res, gate };
}

/**
 * From dres [m, l, d], the gradient of the sum res + gate·x after the layer, computes the gradient [m, l, d] of this sum before
 * the layer. Frees dres. Adds to the gradients `g` of the parameters and to `dmodulation`, [m, 3, d] for each branch.
 */
export function blockBackward(
  be: Backend,
  p: BlockParams,
  g: BlockParams,
  c: AimConfig,
  i: number,
  { dres, modulation, dmodulation }: { dres: Tensor; modulation: readonly Tensor[]; dmodulation: readonly Tensor[] },
  a: Acts,
): Tensor {
  return branchesOf(c, i).reduceRight((after, { norm, part, branch, config }, k) => {
    const own = actsOf(a, part);
    const { res, u, out } = own.saved(ACTS);
    const vectors = { modulation: modulation[k]!, dmodulation: dmodulation[k]! };
    // forward: the next sum = res + gate·x
    const dx = be.tensor(out.shape);
    be.run(addRmsNorm.backward_gate, { x: out, gate: vectors.modulation, dres: after, dx, dgate: vectors.dmodulation });
    // forward: x = f(u)
    const du = branch.backward(be, p[part]!, g[part]!, config, u, dx, own.child(part));
    be.free(dx);
    // forward: u = RMSNorm(res)·(1 + scale) + shift; the next sum used res too
    const { weight } = p[norm]!;
    const before = normBackward(be, { sum: res, weight, dweight: g[norm]!.weight, dy: du, dsum: after, ...vectors });
    be.free(du, after);
    return before;
  }, dres);
}
