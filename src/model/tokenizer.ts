/**
 * AiM stage 1: the VQ tokenizer of LlamaGen (arXiv 2406.06525), forward and, beneath it, backward. Activations are NHWC.
 */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { codebookLookup, mse, quantize, sum } from '../ops/index.js';
import { mseParts } from '../ops/mse.js';
import { Acts } from './acts.js';
import { linearBackward } from './backward.js';
import type { TokenizerConfigJson } from './config.js';
import { line, linearForward, rows } from './layers.js';
import { convParams, init, param, type Tensors } from './params.js';
import {
  type Affine,
  affine,
  blocksBackward,
  blocksForward,
  convBackward,
  convForward,
  convWeightBackward,
  DOWN,
  type LevelParams,
  levelParams,
  type MidParams,
  midBackward,
  midForward,
  midParams,
  numbered,
  type OutParams,
  outBackward,
  outForward,
  UP,
} from './tokenizer_blocks.js';

/** What the commitment loss weighs beside the codebook loss. */
const COMMITMENT = 0.25;

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

interface HalfParams extends OutParams {
  conv_in: Affine;
  conv_blocks: Record<string, LevelParams>;
  mid: MidParams;
}
/** The tree of `tokenizerParams` with the parts that depend on the config made explicit; gradients have the same. */
export type TokenizerParams = Omit<Tensors<ReturnType<typeof tokenizerParams>>, 'encoder' | 'decoder'> & {
  encoder: HalfParams;
  decoder: HalfParams;
};

/** image [b, H, W, 3] in [-1, 1] → features before the quantiser [b, h, w, embed_dim], after quant_conv. */
export function encodeForward(be: Backend, p: TokenizerParams, image: Tensor, a: Acts = new Acts(be)): Tensor {
  a.alias('image', image);
  let x = convForward(be, p.encoder.conv_in, image, a.child('conv_in'));
  Object.values(p.encoder.conv_blocks).forEach((level, i) => {
    const al = a.child(`conv_blocks.${i}`);
    x = blocksForward(be, level, x, al);
    if (level.downsample) x = resample(be, level.downsample.conv, x, al, DOWN);
  });
  x = midForward(be, p.encoder.mid, x, a.child('mid'));
  x = outForward(be, p.encoder, x, a.child('out'));
  a.alias('features', x);
  const z = a.tensor('pre_quant', [...x.shape.slice(0, 3), p.quant_conv.weight.shape[0]!]);
  linearForward(be, x, p.quant_conv.weight, z, p.quant_conv.bias);
  a.done(x);
  return z;
}

/** Undoes encodeForward: from dz, which it consumes, adds to the parameters' gradients g. */
export function encodeBackward(be: Backend, p: TokenizerParams, g: TokenizerParams, dz: Tensor, a: Acts): void {
  // forward: z = quant_conv(x)
  const x = a.get('features');
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
  convWeightBackward(be, g.encoder.conv_in, a.get('image'), dx);
  be.free(dx);
}

/** Features [..., embed_dim] → codes u32 [rows] by nearest normalised codebook row; `distance` [rows] gets its squared distance. */
export function quantizeForward(be: Backend, p: TokenizerParams, z: Tensor, a: Acts = new Acts(be), distance?: Tensor): Tensor {
  const flat = rows(be, z);
  const codes = a.tensor('codes', [flat.shape[0]!], 'u32');
  be.run(quantize.forward, { z: flat, codebook: p.quantize.embedding.weight, codes, distance });
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

/** Undoes decodeForward: consumes the image's gradient and returns that of the normalised codebook rows, [b, h, w, embed_dim]. */
export function decodeBackward(be: Backend, p: TokenizerParams, g: TokenizerParams, dimage: Tensor, a: Acts): Tensor {
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
  const dz = convBackward(be, p.decoder.conv_in, g.decoder.conv_in, a.get('post_quant'), dx);
  be.free(dx);
  // forward: z = post_quant_conv(q)
  const q = a.get('z_q');
  const dq = be.tensor(q.shape);
  const { weight: dw, bias: dbias } = g.post_quant_conv;
  linearBackward(be, { x: q, w: p.post_quant_conv.weight, dy: dz, dx: dq, dw, dbias });
  be.free(dz);
  return dq;
}

/** The convolution between two levels. Consumes x. */
function resample(be: Backend, p: Affine, x: Tensor, a: Acts, windows: typeof UP): Tensor {
  a.alias('x', x);
  const y = convForward(be, p, x, a, windows);
  a.done(x);
  return y;
}

function resampleBackward(be: Backend, p: Affine, g: Affine, dy: Tensor, a: Acts, windows: typeof UP): Tensor {
  // forward: y = conv(x)
  const dx = convBackward(be, p, g, a.get('x'), dy, windows);
  be.free(dy);
  return dx;
}

/** Mean losses [1] each; training minimises their sum. */
export interface TokenizerLosses {
  /** mean((decoded - image)²) */
  mse: Tensor;
  /** mean((z_q - sg z)²) of the normalised z and codebook rows. */
  codebook: Tensor;
  /** 0.25·mean((z - sg z_q)²) */
  commitment: Tensor;
}

/**
 * image [b, H, W, 3] → losses, codes u32 [b·h·w] and the decoded image, on activations that `a`, a new Acts(be, true), keeps for
 * backward: of a residual block two tensors of its width, of an attention block five, of any other convolution its output.
 * For VQ-f16 these are 9.2 kB per pixel of the images (13 kB with what a recording of forward and backward needs besides), for
 * the tokenizer of aim-fmnist 2.3 kB (4.2 kB).
 */
export function tokenizerLossForward(
  be: Backend,
  p: TokenizerParams,
  image: Tensor,
  a: Acts,
): { losses: TokenizerLosses; codes: Tensor; decoded: Tensor } {
  const z = encodeForward(be, p, image, a.child('encoder'));
  a.alias('z', z);
  const [b, h, w, d] = z.shape as [number, number, number, number];
  const distance = be.tensor([b * h * w]);
  const codes = quantizeForward(be, p, z, a, distance);
  const decoded = decodeForward(be, p, codes, [b, h, w], a.child('decoder'));
  a.alias('decoded', decoded);
  const parts = be.tensor([mseParts(image.size)]);
  be.run(mse.forward, { x: line(be, decoded), truth: line(be, image), parts });
  const losses = { mse: a.tensor('mse', [1]), codebook: a.tensor('codebook', [1]), commitment: a.tensor('commitment', [1]) };
  be.run(sum.forward, { x: parts, y: losses.mse }, { scale: 1 / image.size });
  be.run(sum.forward, { x: distance, y: losses.codebook }, { scale: 1 / (distance.size * d) });
  be.run(sum.forward, { x: distance, y: losses.commitment }, { scale: COMMITMENT / (distance.size * d) });
  be.free(distance, parts);
  return { losses, codes, decoded };
}

/** Adds to g the gradients of the three losses' sum (times loss_scale[0]), from what tokenizerLossForward kept in `a`. */
export function tokenizerLossBackward(be: Backend, p: TokenizerParams, g: TokenizerParams, a: Acts, loss_scale?: Tensor): void {
  const [image, decoded, z] = [a.child('encoder').get('image'), a.get('decoded'), a.get('z')];
  // forward: mse = mean((decoded - image)²)
  const ddecoded = be.tensor(decoded.shape);
  be.run(
    mse.backward,
    { x: line(be, decoded), truth: line(be, image), loss_scale, dx: line(be, ddecoded) },
    { scale: 1 / image.size },
  );
  // forward: decoded = decode(z_q)
  const dz_q = decodeBackward(be, p, g, ddecoded, a.child('decoder'));
  // forward: z_q = z + sg(row - z), codebook = mean((row - sg z)²), commitment = 0.25·mean((z - sg row)²), all normalised
  const dz = be.tensor(z.shape);
  be.run(
    quantize.backward,
    {
      z: rows(be, z),
      codebook: p.quantize.embedding.weight,
      codes: a.get('codes'),
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
