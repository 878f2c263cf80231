/** The end of stage 2: two RMSNorms and a product with the word embeddings. Gives logits for drawing or a loss for training. */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { crossEntropy } from '../ops/cross_entropy.js';
import { headNorms, normHead } from '../ops/norm_head.js';
import { type Acts, activationBytes, activations } from './acts.js';
import { linearBackward, normBackward } from './backward.js';
import type { Stream } from './block.js';
import type { AimConfig } from './config.js';
import type { Guidance } from './guidance.js';
import { flat, linearForward, meanOf, NORM_EPS } from './layers.js';
import { init, linearBiasParams, normParams, type Tensors } from './params.js';

/** Parameters below `mamba.backbone`. */
export const headParams = ({ d_model: d }: AimConfig) => ({
  norm_f: normParams(d),
  final_layer: { norm_final: normParams(d), adaLN_modulation: { 1: linearBiasParams(2 * d, d, init.zeros) } },
});
/** The head's parameters, including the word embeddings [V, d], which it shares with the input. */
export interface HeadParams extends Tensors<ReturnType<typeof headParams>> {
  embeddings: { word_embeddings: { weight: Tensor } };
}

/** res_f: the residual sum after all layers. norm_f and norm_final: the outputs of the two norms. */
const ACTS = activations({ norm_f: 'm l d', res_f: 'm l d', norm_final: 'm l d' });
const LOGITS = activations({ logits: 'm l v' });

/** Bytes that the head saves for backward, for m sequences of l positions. */
export const headBytes = (c: AimConfig, m: number, l: number) => activationBytes(ACTS, { m, l, d: c.d_model });

/** The tensors that headNorms and the op norm_head have in common. */
const norms = (p: HeadParams, { x, res, gate }: Stream, modulation: Tensor) => {
  const { norm_f, final_layer } = p;
  return { x, res, gate, weight: norm_f.weight, outer: final_layer.norm_final.weight, modulation };
};

/**
 * Logits [m, l, V] of the next tokens. With `guidance`, [m/2, l, V]: u + (c − u)·w for the logits c of the first and u of the
 * second half of the sequences. With `guidance.guide`, l is 1.
 * @param modulation [m, 2, d]: shift and scale.
 */
export function headLogits(
  be: Backend,
  p: HeadParams,
  c: AimConfig,
  stream: Stream,
  { modulation, guidance }: { modulation: Tensor; guidance: Guidance | undefined },
  a: Acts,
): Tensor {
  const [m, l] = stream.x.shape as [number, number];
  const y = a.part(LOGITS, { m: guidance ? m / 2 : m, l, v: c.vocab_size }).tensor('logits');
  const w = p.embeddings.word_embeddings.weight;
  const guide = guidance?.guide;
  const logits = guide ? be.tensor([m, l, c.vocab_size]) : y;
  be.run(normHead.forward, { ...norms(p, stream, modulation), w, y: logits }, { eps: NORM_EPS, scale: guidance?.scale ?? 1 });
  if (guide) {
    guide(be.reshape(logits, [m, c.vocab_size]), be.reshape(y, [m / 2, c.vocab_size]));
    be.free(logits);
  }
  a.done(stream.x, stream.res);
  return y;
}

/** The gradients that headLoss adds to. */
export interface HeadGradients {
  g: HeadParams;
  /** [m, 2, d] gradient of the modulation. */
  dmodulation: Tensor;
  /** [2]: gradients are scaled by its first element (see the op clip). */
  lossScale: Tensor | undefined;
}

/**
 * Writes the mean cross-entropy of `targets` [m, l], in nats per token, to `loss` [1]. With `gradients`, returns the gradient
 * [m, l, d] of the sum res + gate·x that `stream` holds.
 */
export function headLoss(
  be: Backend,
  p: HeadParams,
  c: AimConfig,
  stream: Stream,
  { modulation, targets, loss }: { modulation: Tensor; targets: Tensor; loss: Tensor },
  a: Acts,
  gradients?: HeadGradients,
): Tensor | undefined {
  const [m, l, d] = stream.x.shape as [number, number, number];
  return a.briefly((brief) => {
    const act = brief.part(ACTS, { m, l, d });
    const once = act.tensor('norm_f');
    const y = act.tensor('norm_final');
    headNorms(be, { ...norms(p, stream, modulation), sum: act.forBackward('res_f'), once, y }, NORM_EPS);
    brief.done(stream.x, stream.res, once);
    const dy = gradients && be.tensor([m, l, d]);
    crossEntropies(be, p, c, { y, targets, loss }, gradients && { ...gradients, dy: dy! });
    brief.done(y);
    if (!gradients || !dy) return undefined;
    const dres = headNormsBackward(be, p, modulation, dy, gradients, brief);
    be.free(dy);
    return dres;
  });
}

/** Logits and their gradient take rows × vocabulary numbers each, so training computes only this many rows at a time. */
export const rowsAtOnce = (c: AimConfig, chunkBytes: number) =>
  Math.max(64, Math.floor(chunkBytes / (4 * c.vocab_size) / 64) * 64);

/** The loss computed from the head's normalised input y [m, l, d]; with `gradients`, also its gradient dy. */
function crossEntropies(
  be: Backend,
  p: HeadParams,
  c: AimConfig,
  { y, targets, loss }: { y: Tensor; targets: Tensor; loss: Tensor },
  gradients: (HeadGradients & { dy: Tensor }) | undefined,
): void {
  const n = targets.size;
  const losses = be.tensor([n]);
  const ids = flat(be, targets);
  const w = p.embeddings.word_embeddings.weight;
  const chunk = rowsAtOnce(c, be.traits.chunkBytes);
  for (let at = 0; at < n; at += chunk) {
    const rows = Math.min(chunk, n - at);
    const chunkOf = (t: Tensor) => be.slice(t, at, rows);
    const x = chunkOf(be.reshape(y, [n, c.d_model]));
    const logits = be.tensor([rows, c.vocab_size]);
    const lse = be.tensor([rows]);
    linearForward(be, x, w, logits);
    be.run(crossEntropy.forward, { logits, targets: chunkOf(ids), loss: chunkOf(losses), lse });
    if (gradients) {
      const { g, dy, lossScale } = gradients;
      const dlogits = be.tensor([rows, c.vocab_size]);
      // forward: loss = mean(−log softmax(logits)[target])
      be.run(crossEntropy.backward, { logits, targets: chunkOf(ids), lse, loss_scale: lossScale, dlogits }, { scale: 1 / n });
      // forward: logits = y·wordᵀ
      const dx = chunkOf(be.reshape(dy, [n, c.d_model]));
      linearBackward(be, { x, w, dy: dlogits, dx, dw: g.embeddings.word_embeddings.weight });
      be.free(dlogits);
    }
    be.free(logits, lse);
  }
  meanOf(be, losses, loss);
  be.free(losses);
}

/** Gradient [m, l, d] of the sum that headNorms starts from, computed from dy [m, l, d]. */
function headNormsBackward(
  be: Backend,
  p: HeadParams,
  modulation: Tensor,
  dy: Tensor,
  { g, dmodulation }: HeadGradients,
  a: Acts,
): Tensor {
  const { norm_f, res_f } = a.saved(ACTS);
  // forward: y = RMSNorm(norm_f; norm_final)·(1 + scale) + shift
  const [outer, douter] = [p.final_layer.norm_final, g.final_layer.norm_final];
  const dnorm_f = normBackward(be, {
    sum: norm_f,
    weight: outer.weight,
    dweight: douter.weight,
    dy,
    modulation,
    dmodulation,
  });
  // forward: norm_f = RMSNorm(res_f)
  const dres = normBackward(be, { sum: res_f, weight: p.norm_f.weight, dweight: g.norm_f.weight, dy: dnorm_f });
  be.free(dnorm_f);
  return dres;
}
