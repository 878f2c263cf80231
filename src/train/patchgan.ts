/**
 * PatchGAN (Isola et al. 2017, arXiv 1611.07004), as LlamaGen trains its tokenizers against it: convolutions of 4×4, whose logits each
 * judge a patch of the image, with batch norm in training mode and LeakyReLU. Tensor names are those of LlamaGen's NLayerDiscriminator.
 */
import type { Backend } from '../backend/backend.js';
import { OptionError } from '../core/errors.js';
import type { Tensor } from '../core/tensor.js';
import { type Acts, activations } from '../model/acts.js';
import { addPartials } from '../model/backward.js';
import { flat, rows, zeros } from '../model/layers.js';
import { convParams, type Init, init, type ParamTree, param } from '../model/params.js';
import { batchNorm } from '../ops/batch_norm.js';
import { conv2d } from '../ops/conv2d.js';
import { ema } from '../ops/ema.js';
import { leakyRelu } from '../ops/leaky_relu.js';
import { gradientParts } from '../ops/sum_rows.js';
import type { Discriminator, DiscriminatorTrees } from './discriminator.js';

/** Layers of stride 2, unless the images are too small for so many. */
const DEPTH = 3;
/** The pixels along a side that the last layer of stride 2 must leave; two more layers each take one. */
const LEAST_SIDE = 3;
const KERNEL = 4;
const SLOPE = 0.2;
const EPS = 1e-5;
/** Share of a batch's moments in the running averages (PyTorch's momentum). */
const MOMENTUM = 0.1;

/** A convolution, and what follows it: nothing after the last, else LeakyReLU, with batch norm before it in all but the first. */
interface Layer {
  conv: { weight: Tensor; bias?: Tensor };
  norm?: { weight: Tensor; bias: Tensor };
  stride: 1 | 2;
  last: boolean;
  name: string;
  normName: string;
}

const normal = (mean: number): Init => {
  const draw = init.normal(0.02);
  return (shape, random, out) => {
    draw(shape, random, out);
    for (let i = 0; i < out.length; i++) out[i]! += mean;
  };
};

/** Weights as LlamaGen initialises them; biases of convolutions as PyTorch does. */
const conv = (co: number, ci: number) => {
  const { weight, bias } = convParams(co, ci, KERNEL);
  return { weight: { ...weight, init: normal(0), half: false }, bias };
};

function trees(size: number, channels: number): DiscriminatorTrees {
  const depth = Math.min(DEPTH, Math.floor(Math.log2(size / LEAST_SIDE)));
  if (depth < 1)
    throw new OptionError(
      `discriminator patchgan needs images of at least ${2 * LEAST_SIDE} pixels, and these have ${size}; leave the discriminator out.`,
    );
  const width = (i: number) => channels * Math.min(2 ** i, 8);
  const main: Record<string, ParamTree> = { 0: conv(channels, 3) };
  const running: Record<string, ParamTree> = {};
  for (let i = 1; i <= depth; i++) {
    const c = width(i);
    main[3 * i - 1] = { weight: conv(c, width(i - 1)).weight };
    main[3 * i] = { weight: param([c], normal(1)), bias: param([c], init.zeros) };
    running[3 * i] = { running_mean: param([c], init.zeros), running_var: param([c], init.ones) };
  }
  main[3 * depth + 2] = conv(1, width(depth));
  return { params: { main }, running: { main: running } };
}

type Main = Record<string, { weight: Tensor; bias?: Tensor }>;

/** The layers of a tree of parameters (or of their gradients), in order. */
function layersOf(tree: object): Layer[] {
  const { main } = tree as { main: Main };
  const depth = (Object.keys(main).length - 2) / 2;
  const layers: Layer[] = [];
  for (let i = 0; i <= depth + 1; i++) {
    const name = `${i === 0 ? 0 : 3 * i - 1}`;
    const norm = main[3 * i] as Layer['norm'];
    layers.push({
      conv: main[name]!,
      ...(i > 0 && i <= depth && norm && { norm }),
      stride: i < depth ? 2 : 1,
      last: i > depth,
      name,
      normName: `${3 * i}`,
    });
  }
  return layers;
}

const CONV = activations({ y: 'b h w c' }, ['x']);
const NORM = activations({ conv: 'b h w c', mean: 'c', variance: 'c' });

const attrs = (stride: 1 | 2) => ({ stride, pad_y: 1, pad_x: 1, up: 1 });

function forward(be: Backend, p: object, image: Tensor, a: Acts): Tensor {
  const layers = layersOf(p);
  const none = zeros(be, [Math.max(...layers.map(({ conv }) => conv.weight.shape[0]!))]);
  let x = image;
  for (const { conv, norm, stride, last, name } of layers) {
    const [b, hi, wi] = x.shape as [number, number, number, number];
    const c = conv.weight.shape[0]!;
    const side = (n: number) => Math.floor((n + 2 - KERNEL) / stride) + 1;
    const dims = { b, h: side(hi), w: side(wi), c };
    const al = a.child(name);
    const act = al.part(CONV, dims);
    act.input('x', x);
    const y = act.tensor('y');
    const normed = norm && al.part(NORM, dims);
    const sums = last ? y : (normed?.tensor('conv') ?? be.tensor(y.shape));
    be.run(conv2d.forward, { x, w: conv.weight, bias: conv.bias ?? be.slice(none, 0, c), y: sums }, attrs(stride));
    if (last) {
      be.free(none);
      return y;
    }
    let positive = sums;
    if (norm && normed) {
      positive = be.tensor(y.shape);
      const [mean, variance] = [normed.tensor('mean'), normed.tensor('variance')];
      be.run(batchNorm.forward, { x: rows(be, sums), ...norm, y: rows(be, positive), mean, variance }, { eps: EPS });
    }
    be.run(leakyRelu.forward, { x: flat(be, positive), y: flat(be, y) }, { slope: SLOPE });
    be.free(positive);
    x = y;
  }
  throw new Error('a discriminator has a last layer');
}

function track(be: Backend, running: object, a: Acts): void {
  const { main } = running as { main: Record<string, { running_mean: Tensor; running_var: Tensor }> };
  for (const [norm, { running_mean, running_var }] of Object.entries(main)) {
    const { mean, variance } = a.child(`${Number(norm) - 1}`).saved(NORM);
    be.run(ema.forward, { ema: running_mean, param: mean }, { decay: 1 - MOMENTUM });
    be.run(ema.forward, { ema: running_var, param: variance }, { decay: 1 - MOMENTUM });
  }
}

function backward(be: Backend, p: object, g: object | undefined, dlogits: Tensor, a: Acts, toImage: boolean) {
  const gradients = g && layersOf(g);
  let dy = dlogits;
  for (const [i, { conv, norm, stride, last, name }] of [...layersOf(p).entries()].reverse()) {
    const [al, gl] = [a.child(name), gradients?.[i]];
    const { x, y } = al.saved(CONV);
    if (!last) {
      // forward: y = LeakyReLU(norm(sums))
      const dnormed = be.tensor(y.shape);
      be.run(leakyRelu.backward, { y: flat(be, y), dy: flat(be, dy), dx: flat(be, dnormed) }, { slope: SLOPE });
      be.free(dy);
      dy = dnormed;
    }
    if (norm) {
      const { conv: sums, mean, variance } = al.saved(NORM);
      const dsums = be.tensor(sums.shape);
      be.run(
        batchNorm.backward,
        {
          ...{ x: rows(be, sums), weight: norm.weight, mean, variance, dy: rows(be, dy), dx: rows(be, dsums) },
          ...(gl?.norm && { dweight: gl.norm.weight, dbias: gl.norm.bias }),
        },
        { eps: EPS },
      );
      be.free(dy);
      dy = dsums;
    }
    // forward: sums = w∗x + bias
    if (gl) {
      const pixels = dy.size / dy.shape[3]!;
      addPartials(be, gradientParts(pixels, conv.weight.size), { dw: gl.conv.weight, dbias: gl.conv.bias }, (to) =>
        be.run(conv2d.backward_weight, { x, dy, ...to }, attrs(stride)),
      );
    }
    const dx = i > 0 || toImage ? be.tensor(x.shape) : undefined;
    if (dx) be.run(conv2d.backward_input, { w: conv.weight, dy, dx }, attrs(stride));
    if (dy !== dlogits) be.free(dy);
    if (!dx) return undefined;
    dy = dx;
  }
  return dy;
}

export const patchgan: Discriminator = { trees, forward, track, backward };
