/** AiM stage 1: the VQ tokenizer of LlamaGen (arXiv 2406.06525). Activations are NHWC. */
import type { Backend, Tensor } from '../backend/backend.js';
import { attention, codebookLookup, conv2d, groupNorm, quantize } from '../ops/index.js';
import { Acts } from './acts.js';
import { GROUP_NORM_GROUPS, type TokenizerConfigJson } from './config.js';
import { linearForward, rows } from './layers.js';
import { convParams, init, type ParamTree, param, type Tensors } from './params.js';

const EPS = 1e-6;

const affine = (n: number) => ({ weight: param([n], init.ones), bias: param([n], init.zeros) });
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
const midParams = (c: number) => ({ 0: resParams(c, c), 1: attnParams(c), 2: resParams(c, c) });
const numbered = <T>(items: T[]): Record<string, T> => Object.fromEntries(items.map((item, i) => [i, item]));

/** `blocks` residual blocks from ci to co channels, with attention after each at the deepest level. */
function levelParams(ci: number, co: number, blocks: number, deepest: boolean): ParamTree {
  const res = Array.from({ length: blocks }, (_, r) => resParams(r === 0 ? ci : co, co));
  return { res: numbered(res), ...(deepest ? { attn: numbered(res.map(() => attnParams(co))) } : {}) };
}

/** Parameters below `vqvae`. */
export function tokenizerParams(c: TokenizerConfigJson) {
  const levels = c.ch_mult.length;
  const width = (i: number) => c.ch * (i < 0 ? 1 : c.ch_mult[i]!);
  const top = width(levels - 1);
  const down = c.ch_mult.map((_, i) => {
    const last = i === levels - 1;
    const level = levelParams(width(i - 1), width(i), c.num_res_blocks, last);
    return last ? level : { ...level, downsample: { conv: convParams(width(i), width(i), 3) } };
  });
  const up = c.ch_mult.map((_, j) => {
    const i = levels - 1 - j;
    const level = levelParams(j === 0 ? top : width(i + 1), width(i), c.num_res_blocks + 1, j === 0);
    return i === 0 ? level : { ...level, upsample: { conv: convParams(width(i), width(i), 3) } };
  });
  return {
    encoder: {
      conv_in: convParams(c.ch, 3, 3),
      conv_blocks: numbered(down),
      mid: midParams(top),
      norm_out: affine(top),
      conv_out: convParams(c.z_channels, top, 3),
    },
    quant_conv: convParams(c.embed_dim, c.z_channels, 1),
    quantize: { embedding: { weight: param([c.n_embed, c.embed_dim], init.uniform(1 / c.n_embed)) } },
    post_quant_conv: convParams(c.z_channels, c.embed_dim, 1),
    decoder: {
      conv_in: convParams(top, c.z_channels, 3),
      mid: midParams(top),
      conv_blocks: numbered(up),
      norm_out: affine(width(0)),
      conv_out: convParams(3, width(0), 3),
    },
  };
}

interface Affine {
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
interface LevelParams {
  res: Record<string, ResParams>;
  attn?: Record<string, AttnParams>;
  downsample?: { conv: Affine };
  upsample?: { conv: Affine };
}
interface HalfParams {
  conv_in: Affine;
  conv_blocks: Record<string, LevelParams>;
  mid: { 0: ResParams; 1: AttnParams; 2: ResParams };
  norm_out: Affine;
  conv_out: Affine;
}
/** The tree of `tokenizerParams` with the parts that depend on the config made explicit. */
export type TokenizerParams = Omit<Tensors<ReturnType<typeof tokenizerParams>>, 'encoder' | 'decoder'> & {
  encoder: HalfParams;
  decoder: HalfParams;
};

/** image [b, H, W, 3] in [-1, 1] → features before the quantiser [b, h, w, embed_dim], after quant_conv. */
export function encodeForward(be: Backend, p: TokenizerParams, image: Tensor, a: Acts = new Acts(be)): Tensor {
  let x = convForward(be, p.encoder.conv_in, image, a.child('conv_in'));
  const levels = Object.values(p.encoder.conv_blocks);
  levels.forEach((level, i) => {
    const al = a.child(`conv_blocks.${i}`);
    x = blocksForward(be, level, x, al);
    if (level.downsample)
      x = replace(al, x, convForward(be, level.downsample.conv, x, al.child('downsample'), { stride: 2, pad: 0 }));
  });
  x = midForward(be, p.encoder.mid, x, a.child('mid'));
  x = outForward(be, p.encoder, x, a);
  const z = a.tensor('pre_quant', [...x.shape.slice(0, 3), p.quant_conv.weight.shape[0]!]);
  linearForward(be, x, p.quant_conv.weight, z, p.quant_conv.bias);
  a.done(x);
  return z;
}

/** Features [..., embed_dim] → codes u32 [rows] by nearest normalised codebook row. */
export function quantizeForward(be: Backend, p: TokenizerParams, z: Tensor, a: Acts = new Acts(be)): Tensor {
  const flat = rows(be, z);
  const codes = a.tensor('codes', [flat.shape[0]!], 'u32');
  be.run(quantize.forward, { z: flat, codebook: p.quantize.embedding.weight, codes });
  return codes;
}

/** codes u32 [b·h·w] → image [b, H, W, 3], about [-1, 1]. */
export function decodeForward(
  be: Backend,
  p: TokenizerParams,
  codes: Tensor,
  grid: [b: number, h: number, w: number],
  a: Acts = new Acts(be),
): Tensor {
  const book = p.quantize.embedding.weight;
  const q = a.tensor('z_q', [...grid, book.shape[1]!]);
  be.run(codebookLookup.forward, { codebook: book, codes, y: rows(be, q) });
  const z = a.tensor('post_quant', [...grid, p.post_quant_conv.weight.shape[0]!]);
  linearForward(be, q, p.post_quant_conv.weight, z, p.post_quant_conv.bias);
  a.done(q);
  let x = replace(a, z, convForward(be, p.decoder.conv_in, z, a.child('conv_in')));
  x = midForward(be, p.decoder.mid, x, a.child('mid'));
  const levels = Object.values(p.decoder.conv_blocks);
  levels.forEach((level, i) => {
    const al = a.child(`conv_blocks.${i}`);
    x = blocksForward(be, level, x, al);
    if (level.upsample) x = replace(al, x, convForward(be, level.upsample.conv, x, al.child('upsample'), { up: 2 }));
  });
  return outForward(be, p.decoder, x, a);
}

function replace(a: Acts, old: Tensor, next: Tensor): Tensor {
  a.done(old);
  return next;
}

interface ConvOptions {
  stride?: number;
  pad?: number;
  up?: number;
  residual?: Tensor;
}

/** 3×3 convolution; `stride` 2 with pad 0 has one more row and column of zeros at the bottom and right. */
function convForward(
  be: Backend,
  p: Affine,
  x: Tensor,
  a: Acts,
  { stride = 1, pad = 1, up = 1, residual }: ConvOptions = {},
): Tensor {
  const [b, h, w] = x.shape as [number, number, number];
  const y = a.tensor('conv', [b, (h * up) / stride, (w * up) / stride, p.weight.shape[0]!]);
  be.run(conv2d.forward, { x, w: p.weight, bias: p.bias, residual, y }, { stride, pad, up });
  return y;
}

/** GroupNorm (32 groups), then swish where asked. */
function normForward(be: Backend, p: Affine, x: Tensor, a: Acts, swish: 0 | 1): Tensor {
  const [b, h, w, c] = x.shape as [number, number, number, number];
  const y = a.tensor('norm', x.shape);
  const flat = [b, h * w, c];
  be.run(
    groupNorm.forward,
    { x: be.reshape(x, flat), weight: p.weight, bias: p.bias, y: be.reshape(y, flat) },
    { groups: GROUP_NORM_GROUPS, eps: EPS, swish },
  );
  return y;
}

/** x + conv2(swish(norm2(conv1(swish(norm1(x)))))), the x through nin_shortcut where channels change. Consumes x. */
function resForward(be: Backend, p: ResParams, x: Tensor, a: Acts): Tensor {
  const n1 = normForward(be, p.norm1, x, a.child('norm1'), 1);
  const h = replace(a, n1, convForward(be, p.conv1, n1, a.child('conv1')));
  const n2 = replace(a, h, normForward(be, p.norm2, h, a.child('norm2'), 1));
  let skip = x;
  if (p.nin_shortcut) {
    skip = a.tensor('skip', [...x.shape.slice(0, 3), p.nin_shortcut.weight.shape[0]!]);
    linearForward(be, x, p.nin_shortcut.weight, skip, p.nin_shortcut.bias);
    a.done(x);
  }
  const y = convForward(be, p.conv2, n2, a.child('conv2'), { residual: skip });
  a.done(n2, skip);
  return y;
}

/** x + proj_out(softmax(qᵀk·c^-½)·v) of norm(x), over pixels. Consumes x. */
function attnForward(be: Backend, p: AttnParams, x: Tensor, a: Acts): Tensor {
  const [b, h, w, c] = x.shape as [number, number, number, number];
  const n = normForward(be, p.norm, x, a.child('norm'), 0);
  const project = (name: 'q' | 'k' | 'v') => {
    const y = a.tensor(name, [b, h * w, c]);
    linearForward(be, n, p[name].weight, y, p[name].bias);
    return y;
  };
  const [q, k, v] = [project('q'), project('k'), project('v')];
  a.done(n);
  const mixed = a.tensor('mixed', [b, h * w, c]);
  be.run(attention.forward, { q, k, v, y: mixed });
  a.done(q, k, v);
  const y = a.tensor('attn', x.shape);
  linearForward(be, mixed, p.proj_out.weight, y, p.proj_out.bias, x);
  a.done(mixed, x);
  return y;
}

function blocksForward(be: Backend, level: LevelParams, x: Tensor, a: Acts): Tensor {
  Object.values(level.res).forEach((res, r) => {
    x = resForward(be, res, x, a.child(`res.${r}`));
    if (level.attn) x = attnForward(be, level.attn[r]!, x, a.child(`attn.${r}`));
  });
  return x;
}

function midForward(be: Backend, mid: HalfParams['mid'], x: Tensor, a: Acts): Tensor {
  x = resForward(be, mid[0], x, a.child(0));
  x = attnForward(be, mid[1], x, a.child(1));
  return resForward(be, mid[2], x, a.child(2));
}

function outForward(be: Backend, p: HalfParams, x: Tensor, a: Acts): Tensor {
  const n = replace(a, x, normForward(be, p.norm_out, x, a.child('norm_out'), 1));
  return replace(a, n, convForward(be, p.conv_out, n, a.child('conv_out')));
}
