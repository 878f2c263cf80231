/**
 * The blocks of the VQ tokenizer's encoder and decoder, each followed by its backward. A backward frees dy unless it says
 * otherwise, returns the gradient of its input, and adds the gradients of its parameters to g, a tree like p. Activations are
 * NHWC. The outputs of group norms are not saved: backward recomputes them from their inputs, which takes few operations per
 * number.
 */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { attention } from '../ops/attention.js';
import { conv2d } from '../ops/conv2d.js';
import { groupNorm } from '../ops/group_norm.js';
import { gradientParts } from '../ops/sum_rows.js';
import { type Acts, activationBytes, activations } from './acts.js';
import { addPartials, linearBackward } from './backward.js';
import { addTo, linearForward, zeros } from './layers.js';
import { convParams, init, numbered, type ParamTree, param } from './params.js';

/** Number of groups of every GroupNorm. */
export const GROUP_NORM_GROUPS = 32;

/** Weight and bias [n] of a norm. */
export const affine = (n: number) => ({ weight: param([n], init.ones), bias: param([n], init.zeros) });
const resParams = (ci: number, co: number) => ({
  norm1: affine(ci),
  conv1: convParams(co, ci, 3),
  norm2: affine(co),
  conv2: convParams(co, co, 3),
  ...(ci === co ? {} : { nin_shortcut: convParams(co, ci, 1) }),
});
const attnParams = (c: number) => ({
  norm: affine(c),
  q: convParams(c, c, 1),
  k: convParams(c, c, 1),
  v: convParams(c, c, 1),
  proj_out: convParams(c, c, 1),
});
/** Parameters of the innermost blocks, for c channels. */
export const midParams = (c: number) => ({ 0: resParams(c, c), 1: attnParams(c), 2: resParams(c, c) });

/** Parameters of `blocks` residual blocks from ci to co channels. At the deepest level, attention follows each of them. */
export function levelParams(ci: number, co: number, blocks: number, deepest: boolean): ParamTree {
  const res = Array.from({ length: blocks }, (_, r) => resParams(r === 0 ? ci : co, co));
  return { res: numbered(res), ...(deepest ? { attn: numbered(res.map(() => attnParams(co))) } : {}) };
}

/** Weight and bias of a convolution, or of a norm over channels [c]. */
export interface Affine {
  weight: Tensor;
  bias: Tensor;
}
interface ResParams {
  norm1: Affine;
  conv1: Affine;
  norm2: Affine;
  conv2: Affine;
  nin_shortcut?: Affine;
}
type AttnParams = Record<'norm' | 'q' | 'k' | 'v' | 'proj_out', Affine>;
export interface LevelParams {
  res: Record<string, ResParams>;
  attn?: Record<string, AttnParams>;
  downsample?: { conv: Affine };
  upsample?: { conv: Affine };
}
export type MidParams = { 0: ResParams; 1: AttnParams; 2: ResParams };
export interface OutParams {
  norm_out: Affine;
  conv_out: Affine;
}

interface ConvOptions {
  stride?: number;
  pad?: number;
  up?: number;
}
/** Halves the sides, in the encoder: zeros below and to the right, then stride 2. */
export const DOWN: ConvOptions = { stride: 2, pad: 0 };
/** Doubles the sides, in the decoder: nearest neighbour, then the convolution. */
export const UP: ConvOptions = { up: 2 };

const CONV = activations({ conv: 'b h w c' });

/** 3×3 convolution (+ residual): x [b, h, w, ci] → [b, h·up/stride, w·up/stride, co]. */
export function convForward(
  be: Backend,
  p: Affine,
  x: Tensor,
  a: Acts,
  { stride = 1, pad = 1, up = 1 }: ConvOptions = {},
  residual?: Tensor,
): Tensor {
  const [b, h, w] = x.shape as [number, number, number];
  const y = a.part(CONV, { b, h: (h * up) / stride, w: (w * up) / stride, c: p.weight.shape[0]! }).tensor('conv');
  be.run(conv2d.forward, { x, w: p.weight, bias: p.bias, residual, y }, { stride, pad_y: pad, pad_x: pad, up });
  return y;
}

/**
 * Gradient of convForward for x [b, h, w, ci] and dy like its output. Does not free dy, which is also the gradient of the
 * residual.
 */
export function convBackward(be: Backend, p: Affine, g: Affine, x: Tensor, dy: Tensor, options: ConvOptions = {}): Tensor {
  const { stride = 1, pad = 1, up = 1 } = options;
  convWeightBackward(be, g, x, dy, options);
  // forward: y = w∗x + bias  ⇒  dx = wᵀ∗dy
  const dx = be.tensor(x.shape);
  be.run(conv2d.backward_input, { w: p.weight, dy, dx }, { stride, pad_y: pad, pad_x: pad, up });
  return dx;
}

/**
 * The part of convBackward that concerns weight and bias. It suffices for a convolution of the image, which needs no gradient.
 */
export function convWeightBackward(
  be: Backend,
  g: Affine,
  x: Tensor,
  dy: Tensor,
  { stride = 1, pad = 1, up = 1 }: ConvOptions = {},
): void {
  const pixels = dy.size / dy.shape[3]!;
  // forward: y = w∗x + bias  ⇒  dw += dy∗x, dbias += Σ dy
  addPartials(be, gradientParts(pixels, g.weight.size), { dw: g.weight, dbias: g.bias }, (to) =>
    be.run(conv2d.backward_weight, { x, dy, ...to }, { stride, pad_y: pad, pad_x: pad, up }),
  );
}

const normAttrs = (swish: 0 | 1) => ({ groups: GROUP_NORM_GROUPS, eps: 1e-6, swish });
/** Reshapes [b, h, w, c] to [b, pixels, c]. */
const pixels = (be: Backend, t: Tensor) => be.reshape(t, [t.shape[0]!, t.shape[1]! * t.shape[2]!, t.shape[3]!]);

/** GroupNorm with 32 groups, followed by swish if `swish` is 1. The output is not saved; the caller frees it. */
function groupNormForward(be: Backend, p: Affine, x: Tensor, swish: 0 | 1): Tensor {
  const y = be.tensor(x.shape);
  be.run(groupNorm.forward, { x: pixels(be, x), weight: p.weight, bias: p.bias, y: pixels(be, y) }, normAttrs(swish));
  return y;
}

function groupNormBackward(be: Backend, p: Affine, g: Affine, x: Tensor, dy: Tensor, swish: 0 | 1): Tensor {
  const dx = be.tensor(x.shape);
  // forward: y = swish(norm(x)·weight + bias). The op computes dweight and dbias for each image; they are added up here.
  addPartials(be, x.shape[0]!, { dweight: g.weight, dbias: g.bias }, (to) =>
    be.run(
      groupNorm.backward,
      { x: pixels(be, x), weight: p.weight, bias: p.bias, dy: pixels(be, dy), dx: pixels(be, dx), ...to },
      normAttrs(swish),
    ),
  );
  be.free(dy);
  return dx;
}

/** conv(swish(norm(x))) (+ residual), as in residual blocks and at the end of encoder and decoder. */
function normConvForward(be: Backend, norm: Affine, conv: Affine, x: Tensor, a: Acts, residual?: Tensor): Tensor {
  const n = groupNormForward(be, norm, x, 1);
  const y = convForward(be, conv, n, a, {}, residual);
  be.free(n);
  return y;
}

/** Gradient of normConvForward. Does not free dy. */
function normConvBackward(
  be: Backend,
  p: { norm: Affine; conv: Affine },
  g: { norm: Affine; conv: Affine },
  x: Tensor,
  dy: Tensor,
): Tensor {
  // forward: y = conv(n), n = swish(norm(x))
  const n = groupNormForward(be, p.norm, x, 1);
  const dn = convBackward(be, p.conv, g.conv, n, dy);
  be.free(n);
  // forward: n = swish(norm(x))
  return groupNormBackward(be, p.norm, g.norm, x, dn, 1);
}

/** h: the output of the first convolution. */
const RES = activations({}, ['x', 'h']);

/** skip + conv2(swish(norm2(conv1(swish(norm1(x)))))). skip is x or, if the channels change, nin_shortcut(x). Frees x. */
function resForward(be: Backend, p: ResParams, x: Tensor, a: Acts): Tensor {
  const act = a.part(RES, {});
  act.input('x', x);
  const h = normConvForward(be, p.norm1, p.conv1, x, a.child('conv1'));
  act.input('h', h);
  let skip = x;
  if (p.nin_shortcut) {
    skip = be.tensor([...x.shape.slice(0, 3), p.nin_shortcut.weight.shape[0]!]);
    linearForward(be, x, p.nin_shortcut.weight, skip, p.nin_shortcut.bias);
    a.done(x);
  }
  const y = normConvForward(be, p.norm2, p.conv2, h, a.child('conv2'), skip);
  a.done(h);
  if (p.nin_shortcut) be.free(skip);
  else a.done(x);
  return y;
}

function resBackward(be: Backend, p: ResParams, g: ResParams, dy: Tensor, a: Acts): Tensor {
  const { x, h } = a.saved(RES);
  // forward: y = conv2(swish(norm2(h))) + skip
  const dh = normConvBackward(be, { norm: p.norm2, conv: p.conv2 }, { norm: g.norm2, conv: g.conv2 }, h, dy);
  // forward: h = conv1(swish(norm1(x)))
  const dx = normConvBackward(be, { norm: p.norm1, conv: p.conv1 }, { norm: g.norm1, conv: g.conv1 }, x, dh);
  be.free(dh);
  if (p.nin_shortcut && g.nin_shortcut) {
    // forward: skip = nin_shortcut(x)  ⇒  dx += its gradient
    const through = be.tensor(x.shape);
    const { weight, bias } = g.nin_shortcut;
    linearBackward(be, { x, w: p.nin_shortcut.weight, dy, dx: through, dw: weight, dbias: bias });
    addTo(be, dx, through);
    be.free(through);
  } else {
    // forward: skip = x  ⇒  dx += dy
    addTo(be, dx, dy);
  }
  be.free(dy);
  return dx;
}

const QKV = ['q', 'k', 'v'] as const;
const ATTN = activations({ q: 'b pixels c', k: 'b pixels c', v: 'b pixels c', mixed: 'b pixels c', attn: 'b h w c' }, ['x']);

/** x + proj_out(softmax(qᵀk·c^-½)·v), where q, k and v are projections of norm(x). Attends over pixels. Frees x. */
function attnForward(be: Backend, p: AttnParams, x: Tensor, a: Acts): Tensor {
  const [b, h, w, c] = x.shape as [number, number, number, number];
  const act = a.part(ATTN, { b, h, w, c, pixels: h * w });
  act.input('x', x);
  const n = groupNormForward(be, p.norm, x, 0);
  const [q, k, v] = QKV.map((name) => {
    const y = act.tensor(name);
    linearForward(be, n, p[name].weight, y, p[name].bias);
    return y;
  }) as [Tensor, Tensor, Tensor];
  be.free(n);
  const mixed = act.tensor('mixed');
  be.run(attention.forward, { q, k, v, y: mixed });
  a.done(q, k, v);
  const y = act.tensor('attn');
  linearForward(be, mixed, p.proj_out.weight, y, p.proj_out.bias, x);
  a.done(mixed, x);
  return y;
}

function attnBackward(be: Backend, p: AttnParams, g: AttnParams, dy: Tensor, a: Acts): Tensor {
  const { x, q, k, v, mixed } = a.saved(ATTN);
  const [b, s] = q.shape as [number, number];
  // forward: y = proj_out(mixed) + x
  const dmixed = be.tensor(q.shape);
  const { weight, bias } = g.proj_out;
  linearBackward(be, { x: mixed, w: p.proj_out.weight, dy, dx: dmixed, dw: weight, dbias: bias });
  // forward: mixed = softmax(qᵀk·c^-½)·v
  const [dq, dk, dv] = [be.tensor(q.shape), be.tensor(q.shape), be.tensor(q.shape)];
  const stats = be.tensor([b, 2, s]);
  be.run(attention.backward_query, { q, k, v, y: mixed, dy: dmixed, dq, stats });
  be.run(attention.backward_key, { q, k, v, dy: dmixed, stats, dk, dv });
  be.free(stats);
  // forward: q, k, v = linear(n)  ⇒  dn is the sum of three gradients
  const n = groupNormForward(be, p.norm, x, 0);
  const dn = be.tensor(x.shape);
  const term = be.reshape(dmixed, x.shape);
  for (const [i, dprojected] of [dq, dk, dv].entries()) {
    const [from, to] = [p[QKV[i]!], g[QKV[i]!]];
    linearBackward(be, { x: n, w: from.weight, dy: dprojected, dx: i === 0 ? dn : term, dw: to.weight, dbias: to.bias });
    if (i > 0) addTo(be, dn, term);
  }
  be.free(n, dmixed, dq, dk, dv);
  // forward: n = norm(x)
  const dx = groupNormBackward(be, p.norm, g.norm, x, dn, 0);
  // forward: y = … + x  ⇒  dx += dy
  addTo(be, dx, dy);
  be.free(dy);
  return dx;
}

/** A level's residual blocks, each followed by attention if the level has it. Frees x. */
export function blocksForward(be: Backend, level: LevelParams, x: Tensor, a: Acts): Tensor {
  Object.values(level.res).forEach((res, r) => {
    x = resForward(be, res, x, a.child(`res.${r}`));
    if (level.attn) x = attnForward(be, level.attn[r]!, x, a.child(`attn.${r}`));
  });
  return x;
}

/** Gradient of blocksForward. */
export function blocksBackward(be: Backend, level: LevelParams, g: LevelParams, dy: Tensor, a: Acts): Tensor {
  for (let r = Object.keys(level.res).length - 1; r >= 0; r--) {
    // forward: x = attn(res(x))
    if (level.attn && g.attn) dy = attnBackward(be, level.attn[r]!, g.attn[r]!, dy, a.child(`attn.${r}`));
    dy = resBackward(be, level.res[r]!, g.res[r]!, dy, a.child(`res.${r}`));
  }
  return dy;
}

/** Residual block, attention, residual block. Frees x. */
export function midForward(be: Backend, p: MidParams, x: Tensor, a: Acts): Tensor {
  x = resForward(be, p[0], x, a.child(0));
  x = attnForward(be, p[1], x, a.child(1));
  return resForward(be, p[2], x, a.child(2));
}

/** Gradient of midForward. */
export function midBackward(be: Backend, p: MidParams, g: MidParams, dy: Tensor, a: Acts): Tensor {
  // forward: x = mid[2](mid[1](mid[0](x)))
  dy = resBackward(be, p[2], g[2], dy, a.child(2));
  dy = attnBackward(be, p[1], g[1], dy, a.child(1));
  return resBackward(be, p[0], g[0], dy, a.child(0));
}

const OUT = activations({}, ['x']);

/** conv_out(swish(norm_out(x))): the end of the encoder and of the decoder. Frees x. */
export function outForward(be: Backend, p: OutParams, x: Tensor, a: Acts): Tensor {
  a.part(OUT, {}).input('x', x);
  const y = normConvForward(be, p.norm_out, p.conv_out, x, a);
  a.done(x);
  return y;
}

/** Gradient of outForward. */
export function outBackward(be: Backend, p: OutParams, g: OutParams, dy: Tensor, a: Acts): Tensor {
  // forward: y = conv_out(swish(norm_out(x)))
  const normConv = ({ norm_out: norm, conv_out: conv }: OutParams) => ({ norm, conv });
  const dx = normConvBackward(be, normConv(p), normConv(g), a.saved(OUT).x, dy);
  be.free(dy);
  return dx;
}

/** The gradient of conv_out's weight alone, for the gradient dy of outForward's output, which is not freed. */
export function outWeightGradient(be: Backend, p: OutParams, dy: Tensor, a: Acts): Tensor {
  // forward: y = conv_out(n), n = swish(norm_out(x))  ⇒  dw = dy∗n
  const x = groupNormForward(be, p.norm_out, a.saved(OUT).x, 1);
  const gradient = zeros(be, p.conv_out.weight.shape);
  addPartials(be, gradientParts(dy.size / dy.shape[3]!, gradient.size), { dw: gradient }, (to) =>
    be.run(conv2d.backward_weight, { x, dy, ...to }, { stride: 1, pad_y: 1, pad_x: 1, up: 1 }),
  );
  be.free(x);
  return gradient;
}

/** The number of images and the height and width of an activation. */
export interface Extent {
  b: number;
  h: number;
  w: number;
}

/** Bytes that a convolution with c output channels saves for backward. */
export const convBytes = (at: Extent, c: number) => activationBytes(CONV, { ...at, c });

/** Bytes that `count` residual blocks of c channels, each followed by attention if `attention` is true, save for backward. */
export const blocksBytes = (at: Extent, c: number, count: number, attention: boolean) =>
  count * (2 * convBytes(at, c) + (attention ? activationBytes(ATTN, { ...at, c, pixels: at.h * at.w }) : 0));

/** Bytes that midForward saves for backward. */
export const midBytes = (at: Extent, c: number) => blocksBytes(at, c, 1, true) + blocksBytes(at, c, 1, false);
