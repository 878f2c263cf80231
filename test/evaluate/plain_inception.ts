/**
 * Inception v3 of TensorFlow's FID graph up to its second last block of 17 × 17 pixels, from the description of its layers and without the
 * library: loops over float64 in [channel][row][column], batch norms as they are. The graph's mixed … mixed_2 are 5b to 5d, mixed_3 is
 * 6a and mixed_4 to mixed_7 are 6b to 6e (Szegedy et al. 2015; torch-fidelity's names).
 */
import { bytesSource } from '../../src/io/bytes.js';
import { parseHeader, readFloats } from '../../src/io/safetensors.js';

export type Weights = ReadonlyMap<string, { shape: readonly number[]; data: Float32Array }>;

/** The tensors of a safetensors file. */
export async function plainWeights(file: Uint8Array): Promise<Weights> {
  const source = bytesSource(file);
  const header = await parseHeader(source);
  const out = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const [name, { shape }] of header.tensors) out.set(name, { shape, data: await readFloats(source, header, name) });
  return out;
}

interface Planes {
  c: number;
  h: number;
  w: number;
  data: Float64Array;
}

/** RGB bytes [h, w, 3], resized as TensorFlow 1 does it: pixel i of the output is at i·(w / side) of the input. */
function resized(bytes: Uint8Array, w: number, h: number, side: number): Planes {
  const data = new Float64Array(3 * side * side);
  const mix = (a: number, b: number, t: number) => a + (b - a) * t;
  for (let y = 0; y < side; y++)
    for (let x = 0; x < side; x++) {
      const [v, u] = [(y * h) / side, (x * w) / side];
      const [y0, x0] = [Math.floor(v), Math.floor(u)];
      const [y1, x1] = [Math.min(y0 + 1, h - 1), Math.min(x0 + 1, w - 1)];
      for (let c = 0; c < 3; c++) {
        const at = (row: number, column: number) => bytes[(row * w + column) * 3 + c]!;
        const value = mix(mix(at(y0, x0), at(y0, x1), u - x0), mix(at(y1, x0), at(y1, x1), u - x0), v - y0);
        data[(c * side + y) * side + x] = (value - 128) / 128;
      }
    }
  return { c: 3, h: side, w: side, data };
}

/** max(0, batch norm of a convolution). Without padding the kernel stays inside of the image. */
function conv(weights: Weights, name: string, x: Planes, { stride = 1, padded = true } = {}): Planes {
  const { shape, data: kernel } = weights.get(`${name}.conv.weight`)!;
  const [co, ci, kh, kw] = shape as [number, number, number, number];
  if (ci !== x.c) throw new Error(`${name} takes ${ci} channels and gets ${x.c}`);
  const [py, px] = padded && stride === 1 ? [(kh - 1) / 2, (kw - 1) / 2] : [0, 0];
  const [h, w] = [Math.floor((x.h + 2 * py - kh) / stride) + 1, Math.floor((x.w + 2 * px - kw) / stride) + 1];
  const data = new Float64Array(co * h * w);
  const input = x.data;
  const norm = (part: string) => weights.get(`${name}.bn.${part}`)!.data;
  const [gain, shift, mean, variance] = ['weight', 'bias', 'running_mean', 'running_var'].map(norm);
  for (let o = 0; o < co; o++) {
    for (let c = 0; c < ci; c++)
      for (let ky = 0; ky < kh; ky++)
        for (let kx = 0; kx < kw; kx++) {
          const weight = kernel[((o * ci + c) * kh + ky) * kw + kx]!;
          for (let i = 0; i < h; i++) {
            const row = i * stride + ky - py;
            if (row < 0 || row >= x.h) continue;
            const from = (c * x.h + row) * x.w + kx - px;
            const to = (o * h + i) * w;
            const first = Math.max(0, px - kx);
            const end = Math.min(w, x.w + px - kx);
            for (let j = first; j < end; j++) data[to + j]! += weight * input[from + j * stride]!;
          }
        }
    for (let i = o * h * w; i < (o + 1) * h * w; i++)
      data[i] = Math.max(0, ((data[i]! - mean![o]!) / Math.sqrt(variance![o]! + 0.001)) * gain![o]! + shift![o]!);
  }
  return { c: co, h, w, data };
}

/** Windows of 3 × 3: the largest value of every second one inside of the image, or the mean of what is inside of it around each pixel. */
function pool(x: Planes, kind: 'max' | 'mean'): Planes {
  const [stride, pad] = kind === 'max' ? [2, 0] : [1, 1];
  const [h, w] = [x.h, x.w].map((n) => Math.floor((n + 2 * pad - 3) / stride) + 1) as [number, number];
  const data = new Float64Array(x.c * h * w);
  for (let c = 0; c < x.c; c++)
    for (let i = 0; i < h; i++)
      for (let j = 0; j < w; j++) {
        const inside: number[] = [];
        for (let row = i * stride - pad; row < i * stride - pad + 3; row++)
          for (let column = j * stride - pad; column < j * stride - pad + 3; column++)
            if (row >= 0 && column >= 0 && row < x.h && column < x.w) inside.push(x.data[(c * x.h + row) * x.w + column]!);
        data[(c * h + i) * w + j] = kind === 'max' ? Math.max(...inside) : inside.reduce((a, b) => a + b, 0) / inside.length;
      }
  return { c: x.c, h, w, data };
}

function beside(...parts: Planes[]): Planes {
  const { h, w } = parts[0]!;
  const data = new Float64Array(parts.reduce((sum, p) => sum + p.data.length, 0));
  let at = 0;
  for (const p of parts) {
    data.set(p.data, at);
    at += p.data.length;
  }
  return { c: data.length / (h * w), h, w, data };
}

/**
 * The spatial features of an image: the first 7 channels of the first convolution of mixed_6, all pixels, the channel fastest (Nash et
 * al. 2021; ADM's evaluator). And the means over all pixels of 6e, which torch-fidelity calls 768.
 */
export function plainFeatures(
  weights: Weights,
  image: { bytes: Uint8Array; width: number; height: number },
  side: number,
): { spatial: Float64Array; means: Float64Array } {
  const run = (x: Planes, block: string, ...names: string[]) =>
    names.reduce((t, name) => conv(weights, block ? `${block}.${name}` : name, t), x);
  let x = resized(image.bytes, image.width, image.height, side);
  x = conv(weights, 'Conv2d_1a_3x3', x, { stride: 2 });
  x = conv(weights, 'Conv2d_2a_3x3', x, { padded: false });
  x = pool(run(x, '', 'Conv2d_2b_3x3'), 'max');
  x = run(x, '', 'Conv2d_3b_1x1');
  x = pool(conv(weights, 'Conv2d_4a_3x3', x, { padded: false }), 'max');
  for (const name of ['Mixed_5b', 'Mixed_5c', 'Mixed_5d'])
    x = beside(
      run(x, name, 'branch1x1'),
      run(x, name, 'branch5x5_1', 'branch5x5_2'),
      run(x, name, 'branch3x3dbl_1', 'branch3x3dbl_2', 'branch3x3dbl_3'),
      run(pool(x, 'mean'), name, 'branch_pool'),
    );
  x = beside(
    conv(weights, 'Mixed_6a.branch3x3', x, { stride: 2 }),
    conv(weights, 'Mixed_6a.branch3x3dbl_3', run(x, 'Mixed_6a', 'branch3x3dbl_1', 'branch3x3dbl_2'), { stride: 2 }),
    pool(x, 'max'),
  );
  let spatial = new Float64Array();
  for (const name of ['Mixed_6b', 'Mixed_6c', 'Mixed_6d', 'Mixed_6e']) {
    const first = run(x, name, 'branch1x1');
    if (name === 'Mixed_6d') {
      const channels = Math.min(7, first.c);
      const area = first.h * first.w;
      spatial = Float64Array.from(
        { length: area * channels },
        (_, i) => first.data[(i % channels) * area + Math.floor(i / channels)]!,
      );
    }
    x = beside(
      first,
      run(x, name, 'branch7x7_1', 'branch7x7_2', 'branch7x7_3'),
      run(x, name, 'branch7x7dbl_1', 'branch7x7dbl_2', 'branch7x7dbl_3', 'branch7x7dbl_4', 'branch7x7dbl_5'),
      run(pool(x, 'mean'), name, 'branch_pool'),
    );
  }
  const area = x.h * x.w;
  const means = Float64Array.from({ length: x.c }, (_, c) => {
    let sum = 0;
    for (let i = 0; i < area; i++) sum += x.data[c * area + i]!;
    return sum / area;
  });
  return { spatial, means };
}

/**
 * The Fréchet distance of two sets of vectors, without their covariances: with centred rows X and Y the trace of (Σx·Σy)^½ is the sum of
 * the singular values of X·Yᵀ / √((n − 1)(m − 1)).
 */
export function plainDistance(x: readonly Float64Array[], y: readonly Float64Array[]): number {
  const d = x[0]!.length;
  const centred = (rows: readonly Float64Array[]) => {
    const mean = Float64Array.from({ length: d }, (_, k) => rows.reduce((sum, r) => sum + r[k]!, 0) / rows.length);
    return { mean, rows: rows.map((r) => r.map((v, k) => v - mean[k]!)) };
  };
  const dot = (a: ArrayLike<number>, b: ArrayLike<number>) => {
    let sum = 0;
    for (let k = 0; k < a.length; k++) sum += a[k]! * b[k]!;
    return sum;
  };
  const [a, b] = [centred(x), centred(y)];
  const trace = ({ rows }: typeof a) => rows.reduce((sum, r) => sum + dot(r, r), 0) / (rows.length - 1);
  const between = a.mean.map((v, k) => v - b.mean[k]!);
  // One-sided Jacobi: the columns of the product are turned until they are orthogonal; their lengths are the singular values.
  const columns = b.rows.map((row) => Float64Array.from(a.rows, (r) => dot(r, row)));
  for (let turned = true; turned; ) {
    turned = false;
    for (let i = 0; i < columns.length; i++)
      for (let j = i + 1; j < columns.length; j++) {
        const [p, q] = [columns[i]!, columns[j]!];
        const [pp, qq, pq] = [dot(p, p), dot(q, q), dot(p, q)];
        if (Math.abs(pq) <= 1e-14 * Math.sqrt(pp * qq) || pq === 0) continue;
        turned = true;
        const zeta = (qq - pp) / (2 * pq);
        const t = Math.sign(zeta || 1) / (Math.abs(zeta) + Math.hypot(1, zeta));
        const [cos, sin] = [1 / Math.hypot(1, t), t / Math.hypot(1, t)];
        for (let k = 0; k < p.length; k++) {
          const [u, v] = [p[k]!, q[k]!];
          p[k] = cos * u - sin * v;
          q[k] = sin * u + cos * v;
        }
      }
  }
  const nuclear = columns.reduce((sum, c) => sum + Math.sqrt(dot(c, c)), 0);
  return dot(between, between) + trace(a) + trace(b) - (2 * nuclear) / Math.sqrt((x.length - 1) * (y.length - 1));
}
