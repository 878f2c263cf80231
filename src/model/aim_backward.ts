/**
 * Training of stage 2: the loss and its gradient. `hiddenBackward` is `hiddenForward` of aim.ts read upwards, each line
 * quoting the forward line it undoes. Activations kept per token: about n_layer·(3·d + the mixer's) floats.
 */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { addRmsNorm, crossEntropy, embedding, groupModulation, silu, sum, sumRows, tokenEmbedding } from '../ops/index.js';
import { partsOf } from '../ops/sum_rows.js';
import type { Acts } from './acts.js';
import { type AimParams, EPS, hiddenForward, type Modulation, modulationForward } from './aim.js';
import { addTo, linearBackward, zeros } from './backward.js';
import type { AimConfig } from './config.js';
import { linearForward } from './layers.js';
import { type Mamba1Params, mamba1Backward } from './mamba1.js';
import { type Mamba2Params, mamba2Backward } from './mamba2.js';

/** Device tensors of one training batch. */
export interface AimBatch {
  /** [b, T] */
  tokens: Tensor;
  /** [b], K where the label is dropped. */
  labels: Tensor;
  /** [b] zeros: training starts at position 0. */
  step: Tensor;
  /** [1] mean cross-entropy in nats per token, overwritten. */
  loss: Tensor;
  /** [2] Gradients are of lossScale[0] times the loss; see clip. */
  lossScale?: Tensor | undefined;
}

/**
 * Mean cross-entropy of a batch into `loss` and, with `grads`, its gradient added to them. `a` must keep
 * activations when there are gradients to compute.
 */
export function aimLoss(
  be: Backend,
  p: AimParams,
  c: AimConfig,
  { tokens, labels, step, loss, lossScale }: AimBatch,
  a: Acts,
  grads?: AimParams,
): void {
  const [b, T] = tokens.shape as [number, number];
  const modulation = modulationForward(be, p, c, labels, a);
  const y = hiddenForward(be, p, c, { tokens, labels, step, modulation, length: T, shift: 0 }, a);
  const n = b * T;
  const dy = grads && be.tensor([n, c.d_model]);
  const losses = be.tensor([n]);
  const targets = be.reshape(tokens, [n]);
  const word = p.embeddings.word_embeddings.weight;
  // Logits and their gradient, rows × vocabulary each, are made for so many rows at a time.
  const chunk = Math.max(64, Math.floor(be.traits.chunkBytes / (4 * c.vocab_size) / 64) * 64);
  for (let at = 0; at < n; at += chunk) {
    const rows = Math.min(chunk, n - at);
    const part = (t: Tensor) => be.slice(t, at, rows);
    const logits = be.tensor([rows, c.vocab_size]);
    const lse = be.tensor([rows]);
    const x = part(be.reshape(y, [n, c.d_model]));
    linearForward(be, x, word, logits);
    be.run(crossEntropy.forward, { logits, targets: part(targets), loss: part(losses), lse });
    if (grads && dy) {
      const dlogits = be.tensor([rows, c.vocab_size]);
      // forward: loss = mean(−log softmax(logits)[target])
      be.run(crossEntropy.backward, { logits, targets: part(targets), lse, loss_scale: lossScale, dlogits }, { scale: 1 / n });
      // forward: logits = y·wordᵀ
      linearBackward(be, { x, w: word, dy: dlogits, dx: part(dy), dw: grads.embeddings.word_embeddings.weight });
      be.free(dlogits);
    }
    be.free(logits, lse);
  }
  be.run(sum.forward, { x: losses, y: loss }, { scale: 1 / n });
  be.free(losses);
  if (grads && dy) {
    const dmodulation = hiddenBackward(be, p, grads, c, { tokens, labels, modulation }, be.reshape(dy, [b, T, c.d_model]), a);
    modulationBackward(be, p, grads, c, labels, dmodulation, a);
    be.free(dy, ...dmodulation.layers, dmodulation.final);
  }
  a.done(y, ...modulation.layers, modulation.final);
}

/** Adds the parameters' gradients to `g`; returns those of the adaLN vectors. */
function hiddenBackward(
  be: Backend,
  p: AimParams,
  g: AimParams,
  c: AimConfig,
  { tokens, labels, modulation }: { tokens: Tensor; labels: Tensor; modulation: Modulation },
  dy: Tensor,
  a: Acts,
): Modulation {
  const shape = dy.shape as [number, number, number];
  const [m, l, d] = shape;
  const dmodulation: Modulation = {
    layers: modulation.layers.map((t) => zeros(be, t.shape)),
    final: zeros(be, modulation.final.shape),
  };
  /** One add_rms_norm: the gradient of its sum, with the weight's and the adaLN vectors' added. */
  const normBackward = (
    sumOf: Tensor,
    weight: Tensor,
    dweight: Tensor,
    dyOf: Tensor,
    dsum?: Tensor,
    vectors?: Tensor,
    dvectors?: Tensor,
  ) => {
    const dres = be.tensor(shape);
    const rows = be.tensor([m, partsOf(m, l), 2, d]);
    be.run(addRmsNorm.backward, { sum: sumOf, weight, modulation: vectors, dy: dyOf, dsum, dres, rows }, { eps: EPS });
    const dweight_rows = be.tensor([m, d]);
    be.run(addRmsNorm.backward_params, { rows, weight, modulation: vectors, dmodulation: dvectors, dweight_rows });
    be.run(sumRows.forward, { x: dweight_rows, y: dweight });
    be.free(rows, dweight_rows);
    return dres;
  };

  const normed = a.tensor('norm_f', shape);
  // forward: y = RMSNorm(norm_f; norm_final)·(1 + s) + t
  const { norm_final } = p.final_layer;
  const dnormed = normBackward(
    normed,
    norm_final.weight,
    g.final_layer.norm_final.weight,
    dy,
    undefined,
    modulation.final,
    dmodulation.final,
  );
  // forward: norm_f = RMSNorm(res_f)
  let dres = normBackward(a.tensor('res_f', shape), p.norm_f.weight, g.norm_f.weight, dnormed);
  be.free(dnormed);
  for (let i = c.n_layer - 1; i >= 0; i--) {
    const layer = p.layers[i]!;
    const grads = g.layers[i]!;
    const al = a.child(i);
    const u = al.tensor('u', shape);
    // forward: res' = res + gate·x
    const dx = be.tensor(shape);
    const x = al.tensor('out', shape);
    be.run(addRmsNorm.backward_gate, { x, gate: modulation.layers[i]!, dres, dx, dgate: dmodulation.layers[i]! });
    // forward: x = Mixer(u)
    const du =
      c.mixer.layer === 'Mamba2'
        ? mamba2Backward(be, layer.mixer as Mamba2Params, grads.mixer as Mamba2Params, c.mixer, u, dx, al)
        : mamba1Backward(be, layer.mixer as Mamba1Params, grads.mixer as Mamba1Params, c.mixer, u, dx, al);
    be.free(dx);
    // forward: u = RMSNorm(res; norm)·(1 + scale) + shift; res also went on
    const res = al.tensor('res', shape);
    const before = normBackward(
      res,
      layer.norm.weight,
      grads.norm.weight,
      du,
      dres,
      modulation.layers[i]!,
      dmodulation.layers[i]!,
    );
    be.free(du, dres);
    dres = before;
  }
  // forward: res = [c ; word[tokens] + position]
  be.run(tokenEmbedding.backward_cls, { labels, dy: dres, dcls: g.cls_embed.embedding_table.weight });
  be.run(tokenEmbedding.backward_word, { tokens, dy: dres, dword: g.embeddings.word_embeddings.weight });
  be.run(tokenEmbedding.backward_pos, { dy: dres, dpos: g.embeddings.position_embeddings.weight });
  be.free(dres);
  return dmodulation;
}

/** `modulationForward` read upwards. */
function modulationBackward(
  be: Backend,
  p: AimParams,
  g: AimParams,
  c: AimConfig,
  labels: Tensor,
  dmodulation: Modulation,
  a: Acts,
): void {
  const m = labels.size;
  const d = c.d_model;
  const cls = a.tensor('c', [m, d]);
  const s = a.tensor('silu', [m, d]);
  const ds = zeros(be, [m, d]);
  const part = be.tensor([m, d]);
  /** forward: vectors = s·weightᵀ + bias */
  const project = (dvectors: Tensor, w: { weight: Tensor }, dw: { weight: Tensor; bias: Tensor }) => {
    const dyOf = be.reshape(dvectors, [m, dvectors.size / m]);
    linearBackward(be, { x: s, w: w.weight, dy: dyOf, dx: part, dw: dw.weight, dbias: dw.bias });
    addTo(be, ds, part);
  };
  project(dmodulation.final, p.final_layer.adaLN_modulation[1], g.final_layer.adaLN_modulation[1]);
  if (p.adaln_group && g.adaln_group) {
    const dgroups = zeros(be, [m, c.adaln_groups, 3, d]);
    dmodulation.layers.forEach((dy, i) => {
      // forward: vectors = groups[i mod G] + scale_shift_table
      be.run(groupModulation.backward, { dy, dgroups, dtable: g.layers[i]!.scale_shift_table! }, { group: i % c.adaln_groups });
    });
    project(dgroups, p.adaln_group[1], g.adaln_group[1]);
    be.free(dgroups);
  } else {
    for (const [i, dy] of dmodulation.layers.entries())
      project(dy, p.layers[i]!.adaLN_modulation![1], g.layers[i]!.adaLN_modulation![1]);
  }
  // forward: s = SiLU(c), c = table[labels]
  be.run(silu.backward, { x: cls, dy: ds, dx: part });
  be.run(embedding.backward, { ids: labels, dy: part, dtable: g.cls_embed.embedding_table.weight });
  be.free(ds, part);
}
