/**
 * One layer of stage 2: a residual sum, RMSNorm with adaLN, and a mixer; with an MLP, the same once more. The gate of each is applied in
 * the next residual sum.
 */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { addRmsNorm } from '../ops/add_rms_norm.js';
import { type ActivationSpec, type Acts, activationBytes, activations, half } from './acts.js';
import { gradientOf, normBackward } from './backward.js';
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

/** res: the residual sum. out: the branch's output. If the rest is recomputed from res, these alone are saved. */
const ENDS = activations({ res: 'm l d' }, ['out']);
/** u: the branch's input, which fused kernels do not write. */
const ACTS = activations({ u: half('m l d') });

/**
 * Bytes that each branch of a layer saves for m sequences of l positions: its residual sum and output, and what can be recomputed from the
 * sum.
 */
export const blockBytes = (c: AimConfig, i: number, m: number, l: number, halves: boolean): { ends: number; rest: number }[] =>
  branchesOf(c, i).map(({ branch, config }) => {
    const { spec, dims } = branch.activations(config);
    const bytes = (of: ActivationSpec) => activationBytes(of, { m, l, d: c.d_model, ...dims }, halves);
    // The output is among what the branch makes.
    const out = bytes(activations({ out: spec.made.out! }));
    return { ends: bytes(ENDS) + out, rest: bytes(ACTS) + bytes(spec) - out };
  });

/** The values that one branch passes to the next: the residual sum is res + gate·x. */
export type Stream = Pick<LayerInput, 'x' | 'res' | 'gate'>;

/** The activations of a branch; the mixer's are the layer's own. */
const actsOf = (a: Acts, part: LayerBranch['part']) => (part === 'mlp' ? a.child('norm2') : a);

/** The output of a branch, which a second forward pass knows. `sum` receives its residual sum; undefined if that is x. */
function branchForward(
  be: Backend,
  p: BlockParams,
  { norm, part, branch, config }: LayerBranch,
  input: Stream & Pick<LayerInput, 'sum' | 'modulation'>,
  a: Acts,
  past?: Past,
): Tensor {
  const [m, l, d] = input.x.shape as [number, number, number];
  const act = a.part(ACTS, { m, l, d });
  const norms = { weight: p[norm]!.weight, u: act.forBackward('u') };
  return branch.forward(be, p[part]!, config, { ...input, ...norms }, a.child(part), past);
}

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
  for (const [k, of] of branchesOf(c, i).entries()) {
    const own = actsOf(a, of.part);
    const sum = own.part(ENDS, { m, l, d }).tensor('res');
    const input = { x, res, gate, sum, modulation: modulation[k]! };
    x = own.briefly((brief) => branchForward(be, p, of, input, brief, past), 'out');
    [res, gate] = [sum, input.modulation];
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
  return branchesOf(c, i).reduceRight((after, of, k) => {
    const { norm, part, branch, config } = of;
    const own = actsOf(a, part);
    const { res, out } = own.saved(ENDS);
    const vectors = { modulation: modulation[k]!, dmodulation: dmodulation[k]! };
    return own.briefly((brief) => {
      const again = { x: res, res: undefined, gate: undefined, sum: undefined, modulation: vectors.modulation };
      if (a.recompute) {
        brief.child(part).refer('out', out);
        branchForward(be, p, of, again, brief);
      }
      const { u } = brief.saved(ACTS);
      // forward: the next sum = res + gate·x
      const dx = gradientOf(be, out);
      be.run(addRmsNorm.backward_gate, { x: out, gate: vectors.modulation, dres: after, dx, dgate: vectors.dmodulation });
      // forward: x = f(u)
      const du = branch.backward(be, p[part]!, g[part]!, config, u, dx, brief.child(part));
      be.free(dx);
      // forward: u = RMSNorm(res)·(1 + scale) + shift; the next sum used res too
      const { weight } = p[norm]!;
      const before = normBackward(be, { sum: res, weight, dweight: g[norm]!.weight, dy: du, dsum: after, ...vectors });
      be.free(du, after);
      return before;
    });
  }, dres);
}
