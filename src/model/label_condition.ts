/** The condition of the released models: a class number, looked up in a table. Its last row is the unconditional class. */
import type { Tensor } from '../core/tensor.js';
import { embedding } from '../ops/embedding.js';
import { activations } from './acts.js';
import type { Condition, ConditionConfig } from './condition.js';
import { init, param } from './params.js';

/** Number of classes of a label condition. */
export interface LabelConfig extends ConditionConfig {
  readonly type: 'label';
}

/** The embedding table [num_classes + 1, d_model]. */
export interface LabelParams {
  cls_embed: { embedding_table: { weight: Tensor } };
}

const ACTS = activations({ embedding: 'm d' });

export const labelCondition: Condition<LabelConfig, LabelParams, { labels: Tensor }, number> = {
  parse: (config) => ({ type: 'label', num_classes: config.int('num_classes') }),
  params: ({ num_classes }, d_model) => ({
    cls_embed: { embedding_table: { weight: param([num_classes + 1, d_model], init.normal(0.02)) } },
  }),
  inputs: (be, _c, m) => ({ labels: be.tensor([m], 'u32') }),
  write: (be, _c, { labels }, values) => be.write(labels, Uint32Array.from(values)),
  unconditional: ({ num_classes }) => num_classes,
  activations: (_c, d_model) => ({ spec: ACTS, dims: { d: d_model } }),
  forward(be, p, _c, { labels }, a) {
    const table = p.cls_embed.embedding_table.weight;
    const y = a.part(ACTS, { m: labels.size, d: table.shape[1]! }).tensor('embedding');
    be.run(embedding.forward, { table, ids: labels, y });
    return y;
  },
  backward(be, _p, g, _c, { labels }, dy) {
    // forward: y = table[labels]
    be.run(embedding.backward, { ids: labels, dy, dtable: g.cls_embed.embedding_table.weight });
  },
};
