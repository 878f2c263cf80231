/** AiM stage 1: the VQ tokenizer of LlamaGen (arXiv 2406.06525). Activations are NHWC. */

import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { codebookLookup } from '../ops/codebook_lookup.js';
import { mse, mseParts } from '../ops/mse.js';
import { quantize } from '../ops/quantize.js';
import { sum } from '../ops/sum.js';
import { Acts, activationBytes, activations } from './acts.js';
import { linearBackward } from './backward.js';
import type { Fields } from './fields.js';
import { flat, linearForward, rows } from './layers.js';
import { convParams, init, numbered, param, type Tensors } from './params.js';
import type { Tokenizer, TokenizerConfig } from './tokenizer.js';
import { drawsOnly, TRAINING } from './training_only.js';
import {
  type Affine,
  affine,
  blocksBackward,
  blocksBytes,
  blocksForward,
  convBackward,
  convBytes,
  convForward,
  convWeightBackward,
  DOWN,
  type Extent,
  GROUP_NORM_GROUPS,
  type LevelParams,
  levelParams,
  type MidParams,
  midBackward,
  midBytes,
  midForward,
  midParams,
  type OutParams,
  outBackward,
  outForward,
  outWeightGradient,
  UP,
} from './vq_blocks.js';

/** The fields of `vq_config` in config.json. */
export interface VqConfigJson {
  /** Channels of the outermost level, before `ch_mult`. */
  ch: number;
  /** Channels of each level, as multiples of `ch`. Each level after the first halves the sides. */
  ch_mult: number[];
  /** Residual blocks of each level of the encoder; the decoder has one more. */
  num_res_blocks: number;
  /** Channels between encoder and quantiser, before quant_conv. */
  z_channels: number;
  /** Number of codes. */
  n_embed: number;
  /** Length of a code's vector. */
  embed_dim: number;
}

/** The checked configuration of the VQ tokenizer. */
export interface VqConfig extends TokenizerConfig, VqConfigJson {
  readonly type: 'vq';
}

/** The configuration VQ-f16 of LlamaGen, the tokenizer of the released AiM models. */
export const VQ_F16: VqConfigJson = {
  ch: 128,
  ch_mult: [1, 1, 2, 2, 4],
  num_res_blocks: 2,
  z_channels: 256,
  n_embed: 16384,
  embed_dim: 8,
};

function parse(vq: Fields): VqConfig {
  const ch_mult = (vq.get('ch_mult') ?? VQ_F16.ch_mult) as number[];
  if (!Array.isArray(ch_mult) || ch_mult.length < 1 || ch_mult.length > 8 || !ch_mult.every((v) => Number.isInteger(v) && v > 0))
    vq.fail('ch_mult', '1 to 8 positive integers');
  const int = (field: Exclude<keyof VqConfigJson, 'ch_mult'>, most?: number) => vq.int(field, { fallback: VQ_F16[field], most });
  const ch = int('ch');
  if (ch_mult.some((v) => (v * ch) % GROUP_NORM_GROUPS))
    vq.refuse(`vq_config.ch × ch_mult must be multiples of ${GROUP_NORM_GROUPS} (GroupNorm's groups).`);
  return {
    type: 'vq',
    ch,
    ch_mult,
    num_res_blocks: int('num_res_blocks', 64),
    z_channels: int('z_channels'),
    n_embed: int('n_embed'),
    embed_dim: int('embed_dim'),
  };
}

/** Weight of the commitment loss. The codebook loss has weight 1. */
const COMMITMENT = 0.25;

function params(c: VqConfigJson) {
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

interface HalfParams extends OutParams {
  conv_in: Affine;
  conv_blocks: Record<string, LevelParams>;
  mid: MidParams;
}
/** The tree of `params` with tensors, and with types for the parts that depend on the config. Trees of gradients have it too. */
export type VqParams = Omit<Tensors<ReturnType<typeof params>>, 'encoder' | 'decoder'> & {
  encoder: HalfParams;
  decoder: HalfParams;
};

const ENCODER = activations({ pre_quant: 'b h w c' }, ['image', 'features']);
const QUANTIZER = activations({ codes: { shape: 'n', dtype: 'u32' } });
const DECODER = activations({ z_q: 'b h w c', post_quant: 'b h w z' });
export const VQ_LOSS = activations({ mse: '1', codebook: '1', commitment: '1' }, ['image', 'z', 'decoded']);
const RESAMPLE = activations({}, ['x']);

/** image [b, H, W, 3] in [-1, 1] → features [b, h, w, embed_dim], after quant_conv and before the quantiser. */
function encodeForward(be: Backend, p: VqParams, image: Tensor, a: Acts): Tensor {
  let x = convForward(be, p.encoder.conv_in, image, a.child('conv_in'));
  Object.values(p.encoder.conv_blocks).forEach((level, i) => {
    const al = a.child(`conv_blocks.${i}`);
    x = blocksForward(be, level, x, al);
    if (level.downsample) x = resample(be, level.downsample.conv, x, al, DOWN);
  });
  x = midForward(be, p.encoder.mid, x, a.child('mid'));
  x = outForward(be, p.encoder, x, a.child('out'));
  const [b, h, w] = x.shape as [number, number, number];
  const act = a.part(ENCODER, { b, h, w, c: p.quant_conv.weight.shape[0]! });
  act.input('image', image);
  act.input('features', x);
  const z = act.tensor('pre_quant');
  linearForward(be, x, p.quant_conv.weight, z, p.quant_conv.bias);
  a.done(x);
  return z;
}

/** Gradient of encodeForward. Frees dz and adds to the gradients g of the parameters. */
function encodeBackward(be: Backend, p: VqParams, g: VqParams, dz: Tensor, a: Acts): void {
  // forward: z = quant_conv(x)
  const { image, features: x } = a.saved(ENCODER);
  let dx = be.tensor(x.shape);
  linearBackward(be, { x, w: p.quant_conv.weight, dy: dz, dx, dw: g.quant_conv.weight, dbias: g.quant_conv.bias });
  be.free(dz);
  // forward: x = out(mid(x))
  dx = outBackward(be, p.encoder, g.encoder, dx, a.child('out'));
  dx = midBackward(be, p.encoder.mid, g.encoder.mid, dx, a.child('mid'));
  for (const [i, level] of Object.entries(p.encoder.conv_blocks).reverse()) {
    const [al, gl] = [a.child(`conv_blocks.${i}`), g.encoder.conv_blocks[i]!];
    // forward: x = downsample(blocks(x))
    if (level.downsample && gl.downsample) dx = resampleBackward(be, level.downsample.conv, gl.downsample.conv, dx, al, DOWN);
    dx = blocksBackward(be, level, gl, dx, al);
  }
  // forward: x = conv_in(image)
  convWeightBackward(be, g.encoder.conv_in, image, dx);
  be.free(dx);
}

/**
 * Features [..., embed_dim] → codes u32 [rows] of the nearest rows of the codebook, both L2-normalised. `distance` [rows]
 * receives the squared distances.
 */
function quantizeForward(be: Backend, p: VqParams, z: Tensor, a: Acts, distance?: Tensor): Tensor {
  const flatZ = rows(be, z);
  const codes = a.part(QUANTIZER, { n: flatZ.shape[0]! }).tensor('codes');
  be.run(quantize.forward, { z: flatZ, codebook: p.quantize.embedding.weight, codes, distance });
  return codes;
}

/** codes u32 [b·h·w] → image [b, H, W, 3] in about [-1, 1]. */
function decodeForward(
  be: Backend,
  p: VqParams,
  codes: Tensor,
  [b, h, w]: readonly [b: number, h: number, w: number],
  a: Acts,
): Tensor {
  const book = p.quantize.embedding.weight;
  const act = a.part(DECODER, { b, h, w, c: book.shape[1]!, z: p.post_quant_conv.weight.shape[0]! });
  const q = act.tensor('z_q');
  be.run(codebookLookup.forward, { codebook: book, codes, y: rows(be, q) });
  const z = act.tensor('post_quant');
  linearForward(be, q, p.post_quant_conv.weight, z, p.post_quant_conv.bias);
  a.done(q);
  let x = convForward(be, p.decoder.conv_in, z, a.child('conv_in'));
  a.done(z);
  x = midForward(be, p.decoder.mid, x, a.child('mid'));
  Object.values(p.decoder.conv_blocks).forEach((level, i) => {
    const al = a.child(`conv_blocks.${i}`);
    x = blocksForward(be, level, x, al);
    if (level.upsample) x = resample(be, level.upsample.conv, x, al, UP);
  });
  return outForward(be, p.decoder, x, a.child('out'));
}

/** Gradient of decodeForward. Frees dimage and returns the gradient [b, h, w, embed_dim] of the normalised codebook rows. */
export function decodeBackward(be: Backend, p: VqParams, g: VqParams, dimage: Tensor, a: Acts): Tensor {
  const { z_q: q, post_quant: z } = a.saved(DECODER);
  // forward: image = out(x)
  let dx = outBackward(be, p.decoder, g.decoder, dimage, a.child('out'));
  for (const [i, level] of Object.entries(p.decoder.conv_blocks).reverse()) {
    const [al, gl] = [a.child(`conv_blocks.${i}`), g.decoder.conv_blocks[i]!];
    // forward: x = upsample(blocks(x))
    if (level.upsample && gl.upsample) dx = resampleBackward(be, level.upsample.conv, gl.upsample.conv, dx, al, UP);
    dx = blocksBackward(be, level, gl, dx, al);
  }
  // forward: x = mid(conv_in(z))
  dx = midBackward(be, p.decoder.mid, g.decoder.mid, dx, a.child('mid'));
  const dz = convBackward(be, p.decoder.conv_in, g.decoder.conv_in, z, dx);
  be.free(dx);
  // forward: z = post_quant_conv(q)
  const dq = be.tensor(q.shape);
  const { weight: dw, bias: dbias } = g.post_quant_conv;
  linearBackward(be, { x: q, w: p.post_quant_conv.weight, dy: dz, dx: dq, dw, dbias });
  be.free(dz);
  return dq;
}

/** The convolution between two levels. Frees x. */
function resample(be: Backend, p: Affine, x: Tensor, a: Acts, options: typeof UP): Tensor {
  a.part(RESAMPLE, {}).input('x', x);
  const y = convForward(be, p, x, a, options);
  a.done(x);
  return y;
}

function resampleBackward(be: Backend, p: Affine, g: Affine, dy: Tensor, a: Acts, options: typeof UP): Tensor {
  // forward: y = conv(x)
  const dx = convBackward(be, p, g, a.saved(RESAMPLE).x, dy, options);
  be.free(dy);
  return dx;
}

/** The losses, means [1] each. Training minimises their sum. sg is stop-gradient. */
type VqLosses = {
  /** mean((decoded - image)²) */
  mse: Tensor;
  /** mean((z_q - sg z)²), where z and z_q are L2-normalised. */
  codebook: Tensor;
  /** 0.25·mean((z - sg z_q)²) */
  commitment: Tensor;
};

/** image [b, H, W, 3] → losses, codes u32 [b·h·w], features and the decoded image. `a` must be a new Acts(be, true). */
function lossForward(be: Backend, p: VqParams, image: Tensor, a: Acts) {
  const act = a.part(VQ_LOSS, {});
  act.input('image', image);
  const z = encodeForward(be, p, image, a.child('encoder'));
  act.input('z', z);
  const [b, h, w, d] = z.shape as [number, number, number, number];
  const distance = be.tensor([b * h * w]);
  const codes = quantizeForward(be, p, z, a, distance);
  const decoded = decodeForward(be, p, codes, [b, h, w], a.child('decoder'));
  act.input('decoded', decoded);
  const partials = be.tensor([mseParts(image.size)]);
  be.run(mse.forward, { x: flat(be, decoded), truth: flat(be, image), parts: partials });
  const losses: VqLosses = { mse: act.tensor('mse'), codebook: act.tensor('codebook'), commitment: act.tensor('commitment') };
  be.run(sum.forward, { x: partials, y: losses.mse }, { scale: 1 / image.size });
  be.run(sum.forward, { x: distance, y: losses.codebook }, { scale: 1 / (distance.size * d) });
  be.run(sum.forward, { x: distance, y: losses.commitment }, { scale: COMMITMENT / (distance.size * d) });
  be.free(distance, partials);
  return { losses, codes, features: z, decoded };
}

/** The gradient of decoded by mse. */
function mseBackward(be: Backend, a: Acts, loss_scale: Tensor | undefined): Tensor {
  const { image, decoded } = a.saved(VQ_LOSS);
  // forward: mse = mean((decoded - image)²)
  const dx = be.tensor(decoded.shape);
  be.run(mse.backward, { x: flat(be, decoded), truth: flat(be, image), loss_scale, dx: flat(be, dx) }, { scale: 1 / image.size });
  return dx;
}

/** Adds the gradient of the sum of the three losses (times loss_scale[0]) to g. `given` is another gradient of decoded than mse's. */
function lossBackward(be: Backend, p: VqParams, g: VqParams, a: Acts, loss_scale?: Tensor, given?: Tensor): void {
  const { z } = a.saved(VQ_LOSS);
  const { codes } = a.saved(QUANTIZER);
  // forward: decoded = decode(z_q)
  const dz_q = decodeBackward(be, p, g, given ?? mseBackward(be, a, loss_scale), a.child('decoder'));
  // forward: z_q = z + sg(row - z), codebook = mean((row - sg z)²), commitment = 0.25·mean((z - sg row)²), all normalised
  const dz = be.tensor(z.shape);
  be.run(
    quantize.backward,
    {
      z: rows(be, z),
      codebook: p.quantize.embedding.weight,
      codes,
      dy: rows(be, dz_q),
      loss_scale,
      dz: rows(be, dz),
      dcodebook: g.quantize.embedding.weight,
    },
    { codebook_weight: 1, commitment_weight: COMMITMENT },
  );
  be.free(dz_q);
  // forward: z = encode(image)
  encodeBackward(be, p, g, dz, a.child('encoder'));
}

/** Bytes that lossForward saves: the sum over everything that its parts declare. */
function savedBytes(c: VqConfig, [b, height, width]: readonly [number, number, number]): number {
  const levels = c.ch_mult.length;
  const at = (level: number): Extent => ({ b, h: height / 2 ** level, w: width / 2 ** level });
  const channels = (level: number) => c.ch * c.ch_mult[level]!;
  const [deepest, top] = [at(levels - 1), channels(levels - 1)];
  let bytes = convBytes(at(0), c.ch) + midBytes(deepest, top) + convBytes(deepest, c.z_channels);
  bytes += convBytes(deepest, top) + midBytes(deepest, top) + convBytes(at(0), 3);
  for (let level = 0; level < levels; level++) {
    const last = level === levels - 1;
    // The blocks of encoder and decoder (which has one more per level), and the convolutions from and to the next level.
    bytes += blocksBytes(at(level), channels(level), 2 * c.num_res_blocks + 1, last);
    if (!last) bytes += convBytes(at(level + 1), channels(level));
    if (!last) bytes += convBytes(at(level), channels(level + 1));
  }
  const codes = { ...deepest, n: b * deepest.h * deepest.w, c: c.embed_dim, z: c.z_channels };
  return bytes + [ENCODER, QUANTIZER, DECODER, VQ_LOSS].reduce((sum, spec) => sum + activationBytes(spec, codes), 0);
}

export const vqTokenizer: Tokenizer<VqConfig, VqParams> = {
  parse,
  params,
  factor: (c) => 2 ** (c.ch_mult.length - 1),
  vocabulary: (c) => c.n_embed,
  // The largest is the output of the first convolution, or of the upsampling to the outermost level.
  largestBytesPerPixel: (c) => 4 * c.ch * Math.max(c.ch_mult[0]!, c.ch_mult[1] ?? 1),
  activationBytes: savedBytes,
  encode: (be, p, _c, image, a = new Acts(be)) => encodeForward(be, p, image, a),
  quantize: (be, p, _c, features, a = new Acts(be)) => quantizeForward(be, p, features, a),
  codebook: (p) => p.quantize.embedding.weight,
  decode: (be, p, _c, codes, grid, a = new Acts(be)) => decodeForward(be, p, codes, grid, a),
  losses: ['mse', 'codebook', 'commitment'],
  lossForward: TRAINING ? (be, p, _c, image, a) => lossForward(be, p, image, a) : drawsOnly,
  lossBackward: TRAINING ? (be, p, g, _c, a, lossScale, ddecoded) => lossBackward(be, p, g, a, lossScale, ddecoded) : drawsOnly,
  lastGradient: TRAINING
    ? (be, p, _c, a, ddecoded) => outWeightGradient(be, p.decoder, ddecoded, a.child('decoder').child('out'))
    : drawsOnly,
};
