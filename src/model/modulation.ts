/** adaLN: computes the vectors by which the condition modulates every layer and the head. Runs once per image, not per token. */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { columns } from '../ops/columns.js';
import { groupModulation } from '../ops/group_modulation.js';
import { silu } from '../ops/silu.js';
import { type Acts, activationBytes, activations } from './acts.js';
import { arenaSizes, packed } from './arena.js';
import { linearBackward } from './backward.js';
import type { ConditionInputs } from './condition.js';
import { conditionOf } from './conditions.js';
import type { AimConfig } from './config.js';
import { addTo, linearForward, zeros } from './layers.js';
import { init, linearBiasParams, type ParamTree, param } from './params.js';

/** The modulation of m sequences. */
export interface Modulation {
  /** [m, d]: the condition's embedding, which is the first row of each sequence. */
  first: Tensor;
  /** For each layer [m, 3, d]: shift, scale, gate of its mixer and, if it has an MLP, another three of that. */
  layers: Tensor[][];
  /** [m, 2, d], for the head: shift, scale. */
  final: Tensor;
}

interface WeightBias {
  weight: Tensor;
  bias: Tensor;
}
/** The parameters of adaLN below `mamba.backbone`. */
export interface ModulationParams {
  adaln_group?: { 1: WeightBias };
  layers: Record<string, { scale_shift_table?: Tensor; adaLN_modulation?: { 1: WeightBias } }>;
  final_layer: { adaLN_modulation: { 1: WeightBias } };
}

/** Residual branches of each layer: the mixer, and the MLP if there is one. */
const branches = (c: Pick<AimConfig, 'mlp_hidden'>) => (c.mlp_hidden ? 2 : 1);
/** adaLN vectors of a layer: the shifts of all branches, then their scales, then their gates. */
const vectors = (c: Pick<AimConfig, 'mlp_hidden'>) => 3 * branches(c);

/** Parameters of the groups that share adaLN vectors, if the model has groups. */
export const groupParams = (c: AimConfig): ParamTree =>
  c.adaln_groups ? { adaln_group: { 1: linearBiasParams(c.adaln_groups * vectors(c) * c.d_model, c.d_model) } } : {};

/** A layer's own adaLN parameters: an offset to the vectors of its group or, without groups, a projection. */
export const layerModulationParams = (c: AimConfig): ParamTree =>
  c.adaln_groups
    ? { scale_shift_table: param([1, vectors(c), c.d_model], init.normal(1 / Math.sqrt(c.d_model))) }
    : { adaLN_modulation: { 1: linearBiasParams(vectors(c) * c.d_model, c.d_model, init.zeros) } };

/** All tensors of a modulation, for freeing them. */
export const modulationTensors = ({ first, layers, final }: Modulation) => [first, ...layers.flat(), final];

const ACTS = activations({ silu: 'm d', final: 'm 2 d' }, ['embedding']);
const vectorShapes = (c: AimConfig, m: number) => Array<number[]>(c.n_layer * branches(c)).fill([m, 3, c.d_model]);

/** Bytes that modulationForward saves for backward, for m sequences. */
export function modulationBytes(c: AimConfig, m: number): number {
  const { spec, dims } = conditionOf(c.condition).activations(c.condition, c.d_model);
  const bytes = 4 * arenaSizes(vectorShapes(c, m)).reduce((sum, size) => sum + size, 0);
  return activationBytes(spec, { m, ...dims }) + activationBytes(ACTS, { m, d: c.d_model }) + bytes;
}

/** A second condition of each of m sequences, for drawing between two. */
export interface MixInputs {
  other: ConditionInputs;
  /** [m], in [0, 1]: the share of the second condition. */
  share: Tensor;
  /** Interpolates embeddings: `mixForward` of between.ts. */
  forward: typeof import('./between.js').mixForward;
}

/** The embeddings [m, d] of m conditions or, with `second`, their linear interpolation with those of a second one. */
function embeddings(
  be: Backend,
  p: ModulationParams,
  c: AimConfig,
  inputs: ConditionInputs,
  a: Acts,
  second: MixInputs | undefined,
): Tensor {
  const embed = (of: ConditionInputs) => conditionOf(c.condition).forward(be, p, c.condition, of, a.child('condition'));
  const x = embed(inputs);
  if (!second) return x;
  const z = embed(second.other);
  const y = be.tensor(x.shape);
  second.forward(be, { x, z, share: second.share, y });
  be.free(x, z);
  return y;
}

/**
 * Computes the modulation of the m sequences whose conditions are in `inputs`. `second` is for drawing only: modulationBackward
 * does not know it.
 */
export function modulationForward(
  be: Backend,
  p: ModulationParams,
  c: AimConfig,
  inputs: ConditionInputs,
  a: Acts,
  second?: MixInputs,
): Modulation {
  const d = c.d_model;
  const first = embeddings(be, p, c, inputs, a, second);
  const m = first.shape[0]!;
  const act = a.part(ACTS, { m, d });
  act.input('embedding', first);
  const s = act.tensor('silu');
  be.run(silu.forward, { x: first, y: s });
  const project = (w: WeightBias, y: Tensor) =>
    linearForward(be, be.reshape(s, [m, 1, d]), w.weight, be.reshape(y, [m, 1, y.size / m]), w.bias);
  const r = vectors(c);
  const groups = p.adaln_group && be.tensor([m, c.adaln_groups, r, d]);
  if (groups) project(p.adaln_group![1], groups);
  const arena = (n: number, shape: readonly number[]) => a.tensor(`layers.${n}`, shape);
  const own = packed(be, vectorShapes(c, m), 'f32', arena).tensors;
  const layers = Array.from({ length: c.n_layer }, (_, i) => own.slice(i * branches(c), (i + 1) * branches(c)));
  layers.forEach((ofBranches, i) => {
    const layer = p.layers[i]!;
    const y = ofBranches.length === 1 ? ofBranches[0]! : be.tensor([m, r, d]);
    if (groups) be.run(groupModulation.forward, { groups, table: layer.scale_shift_table!, y }, { group: i % c.adaln_groups });
    else project(layer.adaLN_modulation![1], y);
    if (ofBranches.length === 1) return;
    for (const [k, to] of ofBranches.entries())
      be.run(columns.forward, { x: be.reshape(y, [3 * m, branches(c) * d]), y: be.reshape(to, [3 * m, d]) }, { offset: k * d });
    be.free(y);
  });
  const final = act.tensor('final');
  project(p.final_layer.adaLN_modulation[1], final);
  a.done(s);
  be.free(groups);
  return { first, layers, final };
}

/** Allocates the gradient of a modulation: zeros for the layers and the head, unspecified values for `first`. */
export const modulationGradient = (be: Backend, { first, layers, final }: Modulation): Modulation => ({
  first: be.tensor(first.shape),
  layers: layers.map((ofBranches) => ofBranches.map((t) => zeros(be, t.shape))),
  final: zeros(be, final.shape),
});

/** Adds the gradients of the parameters to `g`, given the gradient of the modulation. Changes dmodulation.first. */
export function modulationBackward(
  be: Backend,
  p: ModulationParams,
  g: ModulationParams,
  c: AimConfig,
  inputs: ConditionInputs,
  dmodulation: Modulation,
  a: Acts,
): void {
  const { embedding, silu: s } = a.saved(ACTS);
  const [m, d] = embedding.shape as [number, number];
  const ds = zeros(be, [m, d]);
  const term = be.tensor([m, d]);
  // forward: vectors = s·weightᵀ + bias
  const project = (dvectors: Tensor, w: WeightBias, dw: WeightBias) => {
    const dy = be.reshape(dvectors, [m, dvectors.size / m]);
    linearBackward(be, { x: s, w: w.weight, dy, dx: term, dw: dw.weight, dbias: dw.bias });
    addTo(be, ds, term);
  };
  /** The gradient [m, r, d] of a layer's vectors. `use` must not keep it. */
  const joined = (ofBranches: readonly Tensor[], use: (dy: Tensor) => void) => {
    if (ofBranches.length === 1) return use(ofBranches[0]!);
    const dy = be.tensor([m, vectors(c), d]);
    // forward: the vectors of a branch are columns of y [3·m, branches·d]
    for (const [k, from] of ofBranches.entries())
      be.run(
        columns.backward,
        { dy: be.reshape(from, [3 * m, d]), dx: be.reshape(dy, [3 * m, branches(c) * d]) },
        { offset: k * d },
      );
    use(dy);
    be.free(dy);
  };
  project(dmodulation.final, p.final_layer.adaLN_modulation[1], g.final_layer.adaLN_modulation[1]);
  if (p.adaln_group && g.adaln_group) {
    const dgroups = zeros(be, [m, c.adaln_groups, vectors(c), d]);
    dmodulation.layers.forEach((ofBranches, i) => {
      // forward: vectors = groups[i mod G] + scale_shift_table
      const dtable = g.layers[i]!.scale_shift_table!;
      joined(ofBranches, (dy) => be.run(groupModulation.backward, { dy, dgroups, dtable }, { group: i % c.adaln_groups }));
    });
    project(dgroups, p.adaln_group[1], g.adaln_group[1]);
    be.free(dgroups);
  } else {
    for (const [i, ofBranches] of dmodulation.layers.entries())
      joined(ofBranches, (dy) => project(dy, p.layers[i]!.adaLN_modulation![1], g.layers[i]!.adaLN_modulation![1]));
  }
  // forward: s = SiLU(embedding). The embedding is also the first row of the sequence, so both gradients are added.
  be.run(silu.backward, { x: embedding, dy: ds, dx: term });
  addTo(be, dmodulation.first, term);
  conditionOf(c.condition).backward(be, p, g, c.condition, inputs, dmodulation.first, a.child('condition'));
  be.free(ds, term);
}
