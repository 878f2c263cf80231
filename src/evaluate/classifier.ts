/**
 * A small convolutional classifier of grey or coloured images, which measures the quality of samples. It is plain TypeScript and shares no
 * arithmetic with the library's ops, so that it cannot have the same error. The same images give bit-identical weights on every
 * machine.
 */
import { pause } from '../platform/runtime.js';

/** Width of the last hidden layer. Its values after ReLU are an image's features. */
export const FEATURES = 64;
const EPOCHS = 4;
const BATCH = 50;
const RATE = 2e-3;

/** Steps of training between which timers and abort signals get a chance to run. */
const STEPS = 8;

interface Shape {
  kernel: number;
  stride: number;
  pad: number;
  side: number;
  channels: number;
  outSide: number;
  out: number;
  /** Inputs of an output; the last is 1, for the bias. */
  taps: number;
}

interface Layer extends Shape {
  /** [taps, out], and its gradient and moments. */
  w: Float32Array;
  dw: Float32Array;
  m: Float32Array;
  v: Float32Array;
  /** What `forward` read. */
  x: Float32Array;
  patches: Float32Array;
}

/** Shapes of the layers. Each is a convolution; the last two cover the whole remaining area. `side` must be a multiple of 4. */
function shapes(side: number, channels: number, classes: number): Shape[] {
  const [half, quarter] = [side / 2, side / 4];
  return [
    { kernel: 5, stride: 2, pad: 2, side, channels, outSide: half, out: 16 },
    { kernel: 3, stride: 2, pad: 1, side: half, channels: 16, outSide: quarter, out: 32 },
    { kernel: quarter, stride: 1, pad: 0, side: quarter, channels: 32, outSide: 1, out: FEATURES },
    { kernel: 1, stride: 1, pad: 0, side: 1, channels: FEATURES, outSide: 1, out: classes },
  ].map((s) => ({ ...s, taps: s.kernel * s.kernel * s.channels + 1 }));
}

/** How a classifier is trained. */
export interface Training {
  /** Passes over the images; 4 by default. */
  epochs?: number;
  /** Most pixels by which an image is shifted at random, in both directions; one that is shifted is also mirrored half of the time. */
  shift?: number;
  /** Called after every epoch with its number and mean loss. */
  onEpoch?: ((epoch: number, loss: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

export class Classifier {
  /** Bytes of an image. */
  private readonly size: number;
  /** @internal */
  readonly layers: Layer[];

  /** Initialises the weights at random with a fixed seed (He et al. 2015), or copies `weights`, the result of `save`. */
  constructor(
    readonly side: number,
    readonly classes: number,
    weights?: Float32Array,
    readonly channels: 1 | 3 = 1,
  ) {
    this.size = side * side * channels;
    const random = uniform(1);
    let at = 0;
    this.layers = shapes(side, channels, classes).map((shape) => {
      const length = shape.taps * shape.out;
      const bound = Math.sqrt(6 / (shape.taps - 1));
      // w is [taps, out]; its last row is the bias.
      const w = Float32Array.from({ length }, (_, i) => (i < length - shape.out ? (2 * random() - 1) * bound : 0));
      if (weights) w.set(weights.subarray(at, at + length));
      at += length;
      const zeros = () => new Float32Array(length);
      return { ...shape, w, dw: zeros(), m: zeros(), v: zeros(), x: zeros(), patches: zeros() };
    });
  }

  /** Number of weights of a classifier. */
  get length(): number {
    return this.layers.reduce((sum, { w }) => sum + w.length, 0);
  }

  /** Returns all weights in one array. */
  save(): Float32Array<ArrayBuffer> {
    return Float32Array.from(this.layers.flatMap(({ w }) => [...w]));
  }

  /**
   * Trains on images [n, side, side, channels] of bytes and labels [n] with Adam and a learning rate that falls linearly to 0. Rejects
   * with `signal.reason` when aborted.
   */
  async train(
    images: Bytes,
    labels: ArrayLike<number>,
    { epochs = EPOCHS, shift = 0, onEpoch, signal }: Training = {},
  ): Promise<void> {
    const random = uniform(2);
    const order = Uint32Array.from(labels, (_, i) => i);
    const steps = Math.ceil(order.length / BATCH);
    for (let epoch = 0; epoch < epochs; epoch++) {
      for (let i = order.length - 1; i > 0; i--) {
        const j = Math.floor(random() * (i + 1));
        [order[i], order[j]] = [order[j]!, order[i]!];
      }
      let sum = 0;
      for (let s = 0; s < steps; s++) {
        if (s % STEPS === 0) {
          await pause();
          signal?.throwIfAborted();
        }
        const index = order.subarray(s * BATCH, (s + 1) * BATCH);
        const loss = shift
          ? this.gradient(
              this.shifted(images, index, shift, random),
              Uint32Array.from(index, (i) => labels[i]!),
              index.map((_, i) => i),
            )
          : this.gradient(images, labels, index);
        sum += index.length * loss;
        this.adam(epoch * steps + s + 1, RATE * (1 - (epoch * steps + s) / (epochs * steps)));
      }
      onEpoch?.(epoch + 1, sum / order.length);
    }
  }

  /** Copies of the images `index`, each shifted at random and half of them mirrored. What is beyond an edge is as the edge. */
  private shifted(images: Bytes, index: Uint32Array, most: number, random: () => number): Uint8Array {
    const { side, channels, size } = this;
    const out = new Uint8Array(index.length * size);
    const inside = (v: number) => Math.min(side - 1, Math.max(0, v));
    index.forEach((image, i) => {
      const [dy, dx] = [Math.floor((2 * most + 1) * random()) - most, Math.floor((2 * most + 1) * random()) - most];
      const mirrored = random() < 0.5;
      for (let y = 0, to = i * size; y < side; y++) {
        for (let x = 0; x < side; x++) {
          const from = image * size + (inside(y + dy) * side + inside((mirrored ? side - 1 - x : x) + dx)) * channels;
          for (let c = 0; c < channels; c++) out[to++] = images[from + c]!;
        }
      }
    });
    return out;
  }

  /** Returns the most likely class [n], the features [n, FEATURES] and the logits [n, classes] of images [n, side, side, channels] of bytes. */
  classify(images: Bytes): { labels: Uint16Array; features: Float64Array; logits: Float32Array } {
    const { classes } = this;
    const n = images.length / this.size;
    const labels = new Uint16Array(n);
    const features = new Float64Array(n * FEATURES);
    const all = new Float32Array(n * classes);
    for (let at = 0; at < n; at += BATCH) {
      const index = Uint32Array.from({ length: Math.min(BATCH, n - at) }, (_, i) => at + i);
      const logits = this.forward(images, index);
      features.set(this.layers.at(-1)!.x, at * FEATURES);
      all.set(logits, at * classes);
      for (const i of index.keys()) {
        const row = logits.subarray(i * classes, (i + 1) * classes);
        labels[at + i] = row.indexOf(Math.max(...row));
      }
    }
    return { labels, features, logits: all };
  }

  /** Returns the logits of the images `index`, and stores in each layer the inputs that `gradient` needs. */
  private forward(images: Bytes, index: Uint32Array): Float32Array {
    let x = new Float32Array(index.length * this.size);
    index.forEach((image, i) => {
      for (let p = 0; p < this.size; p++) x[i * this.size + p] = images[image * this.size + p]! / 255;
    });
    for (const layer of this.layers) {
      if (layer !== this.layers[0]) x = x.map((v) => Math.max(0, v));
      layer.x = x;
      layer.patches = patches(layer, x, index.length);
      const rows = layer.patches.length / layer.taps;
      x = new Float32Array(rows * layer.out);
      multiply(layer.patches, layer.w, x, rows, layer.taps, layer.out);
    }
    return x;
  }

  /** @internal Returns the mean cross-entropy of the images `index`, and writes its gradient into each layer's dw. */
  gradient(images: Bytes, labels: ArrayLike<number>, index: Uint32Array): number {
    const { classes } = this;
    const logits = this.forward(images, index);
    let dy = new Float32Array(logits.length);
    let loss = 0;
    index.forEach((image, i) => {
      const row = logits.subarray(i * classes, (i + 1) * classes);
      const most = Math.max(...row);
      const sum = row.reduce((total, v) => total + Math.exp(v - most), 0);
      loss += (most + Math.log(sum) - row[labels[image]!]!) / index.length;
      row.forEach((v, c) => {
        dy[i * classes + c] = (Math.exp(v - most) / sum - (c === labels[image] ? 1 : 0)) / index.length;
      });
    });
    for (const layer of [...this.layers].reverse()) {
      const { taps, out, w, dw, x } = layer;
      const rows = dy.length / out;
      // forward: y = patches·w  ⇒  dw = patchesᵀ·dy, dpatches = dy·wᵀ
      dw.fill(0);
      multiply(transpose(layer.patches, rows, taps), dy, dw, taps, rows, out);
      if (layer === this.layers[0]) break;
      const dpatches = new Float32Array(rows * taps);
      multiply(dy, transpose(w, taps, out), dpatches, rows, out, taps);
      // forward: x = max(0, y)  ⇒  dy = dx where x > 0
      dy = unpatched(layer, dpatches, index.length).map((v, i) => (x[i]! > 0 ? v : 0));
    }
    return loss;
  }

  /** One step of Adam (Kingma & Ba 2015) with β₁ = 0.9, β₂ = 0.999. */
  private adam(step: number, rate: number): void {
    const [c1, c2] = [1 - 0.9 ** step, 1 - 0.999 ** step];
    for (const { w, dw, m, v } of this.layers) {
      for (let i = 0; i < w.length; i++) {
        m[i]! += 0.1 * (dw[i]! - m[i]!);
        v[i]! += 0.001 * (dw[i]! * dw[i]! - v[i]!);
        w[i]! -= (rate * (m[i]! / c1)) / (Math.sqrt(v[i]! / c2) + 1e-8);
      }
    }
  }
}

type Bytes = Uint8Array | Uint8ClampedArray;

/**
 * Calls fn(patchOffset, pixelOffset, channels) for every run of `channels` consecutive values that the patches [n·outSide², taps]
 * of a layer copy from its input x [n, side, side, channels].
 */
function eachTap(
  { kernel, stride, pad, side, channels, outSide, taps }: Shape,
  n: number,
  fn: (patch: number, pixel: number, count: number) => void,
): void {
  for (let i = 0, row = 0; i < n; i++) {
    for (let oy = 0; oy < outSide; oy++) {
      for (let ox = 0; ox < outSide; ox++, row++) {
        for (let k = 0; k < kernel * kernel; k++) {
          const y = oy * stride - pad + Math.floor(k / kernel);
          const x = ox * stride - pad + (k % kernel);
          if (y >= 0 && y < side && x >= 0 && x < side)
            fn(row * taps + k * channels, ((i * side + y) * side + x) * channels, channels);
        }
      }
    }
  }
}

/** x [n, side, side, channels] → the input window of each output [n·outSide², taps]; the last tap is 1, for the bias. */
function patches(layer: Shape, x: Float32Array, n: number): Float32Array {
  const out = new Float32Array(n * layer.outSide ** 2 * layer.taps);
  for (let i = layer.taps - 1; i < out.length; i += layer.taps) out[i] = 1;
  eachTap(layer, n, (to, from, count) => {
    for (let c = 0; c < count; c++) out[to + c] = x[from + c]!;
  });
  return out;
}

/** Gradient of patches [n·outSide², taps] → gradient of their input, summed over windows: dx [n, side, side, channels]. */
function unpatched(layer: Shape, dpatches: Float32Array, n: number): Float32Array<ArrayBuffer> {
  const dx = new Float32Array(n * layer.side ** 2 * layer.channels);
  eachTap(layer, n, (from, to, count) => {
    for (let c = 0; c < count; c++) dx[to + c]! += dpatches[from + c]!;
  });
  return dx;
}

/** c [m, n] += a [m, k]·b [k, n], four rows of b at a time. Skips zeros of a, which are frequent after ReLU and on black. */
function multiply(a: Float32Array, b: Float32Array, c: Float32Array, m: number, k: number, n: number): void {
  for (let i = 0; i < m; i++) {
    const ci = i * n;
    let p = 0;
    for (; p + 4 <= k; p += 4) {
      const ai = i * k + p;
      const a0 = a[ai]!;
      const a1 = a[ai + 1]!;
      const a2 = a[ai + 2]!;
      const a3 = a[ai + 3]!;
      if (a0 === 0 && a1 === 0 && a2 === 0 && a3 === 0) continue;
      const [b0, b1, b2, b3] = [p * n, (p + 1) * n, (p + 2) * n, (p + 3) * n];
      for (let j = 0; j < n; j++) c[ci + j]! += a0 * b[b0 + j]! + a1 * b[b1 + j]! + a2 * b[b2 + j]! + a3 * b[b3 + j]!;
    }
    for (; p < k; p++) for (let j = 0; j < n; j++) c[ci + j]! += a[i * k + p]! * b[p * n + j]!;
  }
}

/** Transposes a [m, n] to [n, m]. */
function transpose(a: Float32Array, m: number, n: number): Float32Array {
  const out = new Float32Array(m * n);
  for (let i = 0; i < m; i++) for (let j = 0; j < n; j++) out[j * m + i] = a[i * n + j]!;
  return out;
}

/** A generator of numbers in [0, 1) by xorshift (Marsaglia 2003). `seed` must not be 0. */
function uniform(seed: number): () => number {
  let x = seed * 0x9e3779b9;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return (x >>> 0) / 2 ** 32;
  };
}
