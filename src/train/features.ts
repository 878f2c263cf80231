/**
 * A perceptual loss: the distance between the features that a frozen network of convolutions finds in two images, as in LPIPS (Zhang
 * et al. 2018, arXiv 1801.03924). At each position of a map of features, both vectors are divided by their lengths; the squares of
 * their difference are weighted and added up, averaged over positions, and summed over the maps. lpips.ts reads the network of LPIPS;
 * another is made of a small classifier (evaluate/own_features.ts).
 */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { addTo, flat, rows } from '../model/layers.js';
import { conv2d } from '../ops/conv2d.js';
import { featureDistance } from '../ops/feature_distance.js';
import { leakyRelu } from '../ops/leaky_relu.js';
import { linear } from '../ops/linear.js';
import { pool2d } from '../ops/pool2d.js';
import { sum } from '../ops/sum.js';

/** A convolution followed by max(0, x), or the maximum of 2×2 pixels at every second one. */
export type FeatureLayer =
  | { readonly kind: 'pool' }
  | {
      readonly kind: 'conv';
      /** [co, k, k, ci] */
      readonly shape: readonly [co: number, kh: number, kw: number, ci: number];
      readonly weight: Float32Array;
      /** [co] */
      readonly bias: Float32Array;
      readonly stride: number;
      readonly pad: number;
      /** Whether the output's features are compared, and with which weights [co] (`equal`: 1). */
      readonly compared: false | 'equal' | Float32Array;
    };

/** A network of features as plain data. Make it with `openLpips`. */
export interface FeatureNetwork {
  /** What it is; the loss has this name. */
  readonly name: 'lpips' | 'own_features';
  /** A hash of its weights, by which a run is not continued with others. */
  readonly id: string;
  /** What the first convolution gets of a pixel's three values: weight [n, 3]·rgb + bias [n]. */
  readonly input: { readonly weight: Float32Array; readonly bias: Float32Array };
  readonly layers: readonly FeatureLayer[];
}

interface PlacedConv {
  w: Tensor;
  bias: Tensor;
  attrs: { stride: number; pad_y: number; pad_x: number; up: number };
  compared: boolean;
  /** Weights of the comparison, where they are not all 1. */
  lin: Tensor | undefined;
}

/** The tensors of a network's pass: `x` is the input of each layer, `y` the last output. */
interface Pass {
  x: Tensor[];
  y: Tensor;
}

/** What `forward` leaves for `backward`. */
export interface Comparison {
  readonly image: Pass;
  /** Features of the other image, for the layers that are compared. */
  readonly truth: readonly Tensor[];
}

/** A network on a device. */
export class PerceptualLoss {
  readonly name: FeatureNetwork['name'];
  private readonly layers: readonly (PlacedConv | 'pool')[];
  private readonly input: { w: Tensor; bias: Tensor };
  private readonly owned: Tensor[] = [];

  constructor(
    private readonly be: Backend,
    network: FeatureNetwork,
  ) {
    const put = (data: Float32Array, shape: readonly number[]) => {
      const t = be.from(data, shape);
      this.owned.push(t);
      return t;
    };
    this.name = network.name;
    const { weight, bias } = network.input;
    this.input = { w: put(weight, [bias.length, 3]), bias: put(bias, [bias.length]) };
    this.layers = network.layers.map((l) => {
      if (l.kind === 'pool') return 'pool';
      const lin = typeof l.compared === 'object' ? put(l.compared, [l.shape[0]]) : undefined;
      const attrs = { stride: l.stride, pad_y: l.pad, pad_x: l.pad, up: 1 };
      return { w: put(l.weight, l.shape), bias: put(l.bias, [l.shape[0]]), attrs, compared: l.compared !== false, lin };
    });
  }

  /**
   * y [1] = scale·(the mean over images of the distance between image and truth, both [b, H, W, 3] in about [-1, 1]). Recordable.
   * The result goes to `backward` or `free`.
   */
  forward(image: Tensor, truth: Tensor, y: Tensor, scale = 1): Comparison {
    const { be } = this;
    const kept: Tensor[] = [];
    this.pass(truth, (x, layer) => {
      const keep = isCompared(layer);
      if (keep) kept.push(x);
      return keep;
    });
    const pass = this.pass(image, () => true);
    const compared = this.compared(pass);
    const terms = compared.map(({ features, lin }, i) => {
      const distances = be.tensor([rows(be, features).shape[0]!]);
      be.run(featureDistance.forward, { x: rows(be, features), truth: rows(be, kept[i]!), weight: lin, y: distances });
      const mean = be.tensor([1]);
      be.run(sum.forward, { x: distances, y: mean }, { scale: scale / distances.size });
      be.free(distances);
      return mean;
    });
    be.zero(y);
    for (const term of terms) addTo(be, y, term);
    be.free(...terms);
    return { image: pass, truth: kept };
  }

  /** The gradient of forward's y (times lossScale[0]) in the image, [b, H, W, 3]. Frees the comparison. */
  backward({ image: pass, truth }: Comparison, scale = 1, loss_scale?: Tensor): Tensor {
    const { be } = this;
    const compared = this.compared(pass);
    let at = compared.length;
    let dy: Tensor | undefined;
    for (let i = this.layers.length - 1; i >= 0; i--) {
      const layer = this.layers[i]!;
      const x = pass.x[i]!;
      const y = pass.x[i + 1] ?? pass.y;
      if (layer === 'pool') {
        // Layers after the last that is compared have no gradient.
        if (!dy) continue;
        const dx = be.tensor(x.shape);
        be.run(pool2d.backward, { x, dy, dx }, POOL);
        be.free(dy);
        dy = dx;
        continue;
      }
      if (layer.compared) {
        const want = truth[--at]!;
        // forward: y += mean(distance(features, truth))
        const own = be.tensor(y.shape);
        const flatRows = { x: rows(be, y), truth: rows(be, want), weight: layer.lin, loss_scale, dx: rows(be, own) };
        be.run(featureDistance.backward, flatRows, { scale: scale / flatRows.x.shape[0]! });
        if (dy) addTo(be, dy, own);
        if (dy) be.free(own);
        else dy = own;
      }
      if (!dy) continue;
      // forward: y = max(0, w∗x + bias)
      const dsums = be.tensor(y.shape);
      be.run(leakyRelu.backward, { y: flat(be, y), dy: flat(be, dy), dx: flat(be, dsums) }, { slope: 0 });
      be.free(dy);
      dy = be.tensor(x.shape);
      be.run(conv2d.backward_input, { w: layer.w, dy: dsums, dx: dy }, layer.attrs);
      be.free(dsums);
    }
    // forward: x = weight·rgb + bias
    const image = pass.x[0]!;
    const dimage = be.tensor([...image.shape.slice(0, 3), 3]);
    be.run(linear.backward_input, { w: this.input.w, dy: rows(be, dy!), dx: rows(be, dimage) });
    be.free(dy);
    this.free({ image: pass, truth });
    return dimage;
  }

  /** Frees what forward left. */
  free({ image, truth }: Comparison): void {
    this.be.free(...image.x, image.y, ...truth);
  }

  dispose(): void {
    this.be.free(...this.owned);
  }

  /** Runs the network. `keep` is called with each layer's output, and says if it is kept; what is not is freed when it was read. */
  private pass(image: Tensor, keep: (y: Tensor, layer: PlacedConv | 'pool' | undefined) => boolean): Pass {
    const { be, input } = this;
    let x = be.tensor([...image.shape.slice(0, 3), input.bias.size]);
    be.run(linear.forward, { x: rows(be, image), w: input.w, bias: input.bias, y: rows(be, x) });
    const xs: Tensor[] = [];
    let kept = keep(x, undefined);
    for (const layer of this.layers) {
      xs.push(x);
      const [b, h, w, c] = x.shape as [number, number, number, number];
      let y: Tensor;
      if (layer === 'pool') {
        y = be.tensor([b, Math.floor(h / 2), Math.floor(w / 2), c]);
        be.run(pool2d.forward, { x, y }, { ...POOL, mean: 0, offset: 0 });
      } else {
        const sums = be.tensor([b, outSide(h, layer), outSide(w, layer), layer.w.shape[0]!]);
        be.run(conv2d.forward, { x, w: layer.w, bias: layer.bias, y: sums }, layer.attrs);
        y = be.tensor(sums.shape);
        be.run(leakyRelu.forward, { x: flat(be, sums), y: flat(be, y) }, { slope: 0 });
        be.free(sums);
      }
      if (!kept) be.free(x);
      x = y;
      kept = keep(y, layer);
    }
    if (!kept) be.free(x);
    return { x: xs, y: x };
  }

  /** The features of a pass that are compared, in order. */
  private compared({ x, y }: Pass): { features: Tensor; lin: Tensor | undefined }[] {
    return this.layers.flatMap((layer, i) => (isCompared(layer) ? [{ features: x[i + 1] ?? y, lin: layer.lin }] : []));
  }
}

const isCompared = (layer: PlacedConv | 'pool' | undefined): layer is PlacedConv => typeof layer === 'object' && layer.compared;

const POOL = { size: 2, stride: 2, pad: 0 };

const outSide = (n: number, { w, attrs }: PlacedConv) => Math.floor((n + 2 * attrs.pad_y - w.shape[1]!) / attrs.stride) + 1;

/** Bytes of a network's weights, and of what `forward` keeps for b images of side × side pixels. */
export function comparisonBytes({ input, layers }: FeatureNetwork, b: number, side: number): number {
  let [c, weights] = [input.bias.length, 0];
  let kept = c * side * side;
  for (const layer of layers) {
    if (layer.kind === 'pool') side = Math.floor(side / 2);
    else {
      side = Math.floor((side + 2 * layer.pad - layer.shape[1]) / layer.stride) + 1;
      c = layer.shape[0];
      weights += layer.weight.length;
    }
    kept += (layer.kind === 'conv' && layer.compared ? 2 : 1) * c * side * side;
  }
  return 4 * (weights + b * kept);
}
