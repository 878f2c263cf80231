/**
 * The network behind the FID: Inception v3 as TensorFlow's 2015 release of it computes (Szegedy et al. 2016, arXiv 1512.00567),
 * under the names of its PyTorch port. It differs from torchvision's in its pooling: averages do not count pixels outside of the
 * image, and the last block takes maxima. Convolutions have no bias; each is followed by a batch norm, which is folded into it
 * when weights are loaded (inception_weights.ts), and by max(0, x). Tensors are channels last.
 */
import type { Backend } from '../backend/backend.js';
import type { Tensor } from '../core/tensor.js';
import { columns } from '../ops/columns.js';
import { conv2d } from '../ops/conv2d.js';
import { linear } from '../ops/linear.js';
import { pool2d } from '../ops/pool2d.js';
import { relu } from '../ops/relu.js';

/** A convolution. Zeros around its input keep the size if `same` is true; otherwise every window lies inside. */
export interface Conv {
  readonly name: string;
  readonly ci: number;
  readonly co: number;
  readonly kh: number;
  readonly kw: number;
  readonly stride: number;
  readonly same: boolean;
}

/** A window of 3×3 pixels: its mean or maximum at stride 1 in the same size, or its maximum at every second pixel. */
type Pool = 'mean' | 'max' | 'halve';

/** Steps one after the other; the outputs of `ends`, or of the last step, are channels of the block's output. */
interface Branch {
  readonly steps: readonly (Conv | Pool)[];
  readonly ends?: readonly Conv[];
}

interface Block {
  readonly name: string;
  readonly branches: readonly Branch[];
}

/** The network's parts in order: convolutions and pools, then blocks, then the classifier on the mean over all pixels. */
export interface Network {
  readonly stem: readonly (Conv | Pool)[];
  readonly blocks: readonly Block[];
  /** Side of the input in pixels. */
  readonly side: number;
  /** Number of features, which are the means over the pixels of the last block's channels. */
  readonly features: number;
  readonly classes: number;
  /** Channels of the spatial features. */
  readonly spatialChannels: number;
  /** Side of the spatial features' map. */
  readonly spatialSide: number;
}

/** The first convolution of this block gives the spatial features, TensorFlow's mixed_6/conv (Nash et al. 2021, arXiv 2103.03841). */
const SPATIAL = 'Mixed_6d.branch1x1';
const SPATIAL_CHANNELS = 7;

/** Weights of a convolution, [co, kh, kw, ci], or of the classifier, [classes, features], on a device. */
export interface ConvParams {
  readonly weight: Tensor;
  /** [co] */
  readonly bias: Tensor;
}
export interface InceptionParams {
  readonly convs: ReadonlyMap<string, ConvParams>;
  readonly fc: Tensor;
}

type Kernel = readonly [kh: number, kw: number];
/** Name, output channels, and the kernel's sides. `down` takes every second pixel, of windows inside of the image. */
type Row = readonly [name: string, co: number, kernel: Kernel, down?: 'down'];

const ONE: Kernel = [1, 1];
const THREE: Kernel = [3, 3];

/**
 * The network with its channels divided by `divisor` and another side, or without arguments the real one. Tests use small ones.
 * The side must be at least 75.
 */
export function inceptionNetwork({ divisor = 1, side = 299, classes = 1008 } = {}): Network {
  const width = (channels: number) => Math.ceil(channels / divisor);
  let ci = 3;
  const conv = (prefix: string, [name, co, [kh, kw], down]: Row, same = !down): Conv => {
    const made = { name: prefix + name, ci, co: width(co), kh, kw, stride: down ? 2 : 1, same };
    ci = made.co;
    return made;
  };
  const stem: (Conv | Pool)[] = [
    conv('', ['Conv2d_1a_3x3', 32, THREE, 'down']),
    conv('', ['Conv2d_2a_3x3', 32, THREE], false),
    conv('', ['Conv2d_2b_3x3', 64, THREE]),
    'halve',
    conv('', ['Conv2d_3b_1x1', 80, ONE]),
    conv('', ['Conv2d_4a_3x3', 192, THREE], false),
    'halve',
  ];
  /** A branch is its rows, behind a pool if there is one; `ends` stand beside each other on the last row's output. */
  const block = (name: string, branches: readonly { pool?: Pool; rows?: readonly Row[]; ends?: readonly Row[] }[]): Block => {
    const input = ci;
    let output = 0;
    const made = branches.map(({ pool, rows = [], ends = [] }): Branch => {
      ci = input;
      const steps = [...(pool ? [pool] : []), ...rows.map((row) => conv(`${name}.`, row))];
      const last = ci;
      const heads = ends.map((row) => {
        ci = last;
        return conv(`${name}.`, row);
      });
      output += heads.length ? heads.reduce((sum, { co }) => sum + co, 0) : last;
      return heads.length ? { steps, ends: heads } : { steps };
    });
    ci = output;
    return { name, branches: made };
  };
  const a = (name: string, pooled: number) =>
    block(name, [
      { rows: [['branch1x1', 64, ONE]] },
      {
        rows: [
          ['branch5x5_1', 48, ONE],
          ['branch5x5_2', 64, [5, 5]],
        ],
      },
      {
        rows: [
          ['branch3x3dbl_1', 64, ONE],
          ['branch3x3dbl_2', 96, THREE],
          ['branch3x3dbl_3', 96, THREE],
        ],
      },
      { pool: 'mean', rows: [['branch_pool', pooled, ONE]] },
    ]);
  const c = (name: string, inner: number) =>
    block(name, [
      { rows: [['branch1x1', 192, ONE]] },
      {
        rows: [
          ['branch7x7_1', inner, ONE],
          ['branch7x7_2', inner, [1, 7]],
          ['branch7x7_3', 192, [7, 1]],
        ],
      },
      {
        rows: [
          ['branch7x7dbl_1', inner, ONE],
          ['branch7x7dbl_2', inner, [7, 1]],
          ['branch7x7dbl_3', inner, [1, 7]],
          ['branch7x7dbl_4', inner, [7, 1]],
          ['branch7x7dbl_5', 192, [1, 7]],
        ],
      },
      { pool: 'mean', rows: [['branch_pool', 192, ONE]] },
    ]);
  const e = (name: string, pool: Pool) =>
    block(name, [
      { rows: [['branch1x1', 320, ONE]] },
      {
        rows: [['branch3x3_1', 384, ONE]],
        ends: [
          ['branch3x3_2a', 384, [1, 3]],
          ['branch3x3_2b', 384, [3, 1]],
        ],
      },
      {
        rows: [
          ['branch3x3dbl_1', 448, ONE],
          ['branch3x3dbl_2', 384, THREE],
        ],
        ends: [
          ['branch3x3dbl_3a', 384, [1, 3]],
          ['branch3x3dbl_3b', 384, [3, 1]],
        ],
      },
      { pool, rows: [['branch_pool', 192, ONE]] },
    ]);
  const blocks: Block[] = [
    a('Mixed_5b', 32),
    a('Mixed_5c', 64),
    a('Mixed_5d', 64),
    block('Mixed_6a', [
      { rows: [['branch3x3', 384, THREE, 'down']] },
      {
        rows: [
          ['branch3x3dbl_1', 64, ONE],
          ['branch3x3dbl_2', 96, THREE],
          ['branch3x3dbl_3', 96, THREE, 'down'],
        ],
      },
      { pool: 'halve' },
    ]),
    c('Mixed_6b', 128),
    c('Mixed_6c', 160),
    c('Mixed_6d', 160),
    c('Mixed_6e', 192),
    block('Mixed_7a', [
      {
        rows: [
          ['branch3x3_1', 192, ONE],
          ['branch3x3_2', 320, THREE, 'down'],
        ],
      },
      {
        rows: [
          ['branch7x7x3_1', 192, ONE],
          ['branch7x7x3_2', 192, [1, 7]],
          ['branch7x7x3_3', 192, [7, 1]],
          ['branch7x7x3_4', 192, THREE, 'down'],
        ],
      },
      { pool: 'halve' },
    ]),
    e('Mixed_7b', 'mean'),
    e('Mixed_7c', 'max'),
  ];
  // Sides: 1a, 2a and 4a have no zeros around; 1a, the stem's two pools and Mixed_6a take every second pixel.
  const spatialSide = halved(halved(halved(halved(side) - 2) - 2));
  const spatialChannels = Math.min(SPATIAL_CHANNELS, width(192));
  return { stem, blocks, side, features: ci, classes, spatialChannels, spatialSide };
}

/** Number of windows of 3 at every second of n positions. */
const halved = (n: number) => Math.floor((n - 3) / 2) + 1;

/** Every convolution of a network, in order. */
export function convolutions({ stem, blocks }: Network): Conv[] {
  const steps = [
    ...stem,
    ...blocks.flatMap(({ branches }) => branches.flatMap((branch) => [...branch.steps, ...(branch.ends ?? [])])),
  ];
  return steps.filter((step) => typeof step === 'object');
}

/** What the network says about b images. */
export interface InceptionOutput {
  /** pool_3: [b, features] */
  readonly pool: Tensor;
  /** [b, side, side, channels]: a corner of the channels of an earlier layer, which keep their places in the image. */
  readonly spatial: Tensor;
  /** Without bias: [b, classes] */
  readonly logits: Tensor;
}

/**
 * Runs the network on images [b, side, side, 3] of about [-1, 1]. Recordable.
 *
 * @param onLayer Called with the output of every part of the stem and of every block, which is freed afterwards.
 */
export function inceptionForward(
  be: Backend,
  { convs, fc }: InceptionParams,
  network: Network,
  image: Tensor,
  onLayer?: (name: string, y: Tensor) => void,
): InceptionOutput {
  const b = image.shape[0]!;
  const spatial = be.tensor([b, network.spatialSide, network.spatialSide, network.spatialChannels]);

  /** y = max(0, x∗w + bias), in a tensor of its own or in channels `offset` … of y. */
  const convolve = (x: Tensor, conv: Conv, y?: Tensor, offset = 0): Tensor => {
    const { weight, bias } = convs.get(conv.name)!;
    const { co, kh, kw, stride, same } = conv;
    const [, hi, wi, ci] = x.shape as [number, number, number, number];
    const [ho, wo] = stride === 2 ? [halved(hi), halved(wi)] : same ? [hi, wi] : [hi - kh + 1, wi - kw + 1];
    const sums = be.tensor([b, ho, wo, co]);
    if (kh * kw === 1) {
      const rows = (t: Tensor, n: number) => be.reshape(t, [t.size / n, n]);
      be.run(linear.forward, { x: rows(x, ci), w: be.reshape(weight, [co, ci]), bias, y: rows(sums, co) });
    } else {
      const [pad_y, pad_x] = same ? [(kh - 1) >> 1, (kw - 1) >> 1] : [0, 0];
      be.run(conv2d.forward, { x, w: weight, bias, y: sums }, { stride, pad_y, pad_x, up: 1 });
    }
    const out = y ?? be.tensor(sums.shape);
    positive(sums, out, offset);
    if (conv.name === SPATIAL) {
      const few = be.tensor([sums.size / co, network.spatialChannels]);
      be.run(columns.forward, { x: be.reshape(sums, [sums.size / co, co]), y: few }, { offset: 0 });
      positive(few, be.reshape(spatial, few.shape), 0);
      be.free(few);
    }
    be.free(sums);
    return out;
  };
  const positive = (x: Tensor, y: Tensor, offset: number) => {
    const [n, s] = [x.shape.at(-1)!, y.shape.at(-1)!];
    be.run(relu.forward, { x: be.reshape(x, [x.size / n, n]), y: be.reshape(y, [y.size / s, s]) }, { offset });
  };
  const pooled = (x: Tensor, pool: Pool, y?: Tensor, offset = 0): Tensor => {
    const [, hi, wi, c] = x.shape as [number, number, number, number];
    const halve = pool === 'halve';
    const out = y ?? be.tensor(halve ? [b, halved(hi), halved(wi), c] : x.shape);
    const attrs = { size: 3, stride: halve ? 2 : 1, pad: halve ? 0 : 1, mean: Number(pool === 'mean'), offset };
    be.run(pool2d.forward, { x, y: out }, attrs);
    return out;
  };
  const apply = (x: Tensor, step: Conv | Pool, y?: Tensor, offset = 0) =>
    typeof step === 'string' ? pooled(x, step, y, offset) : convolve(x, step, y, offset);

  let x = image;
  for (const step of network.stem) {
    const y = apply(x, step);
    onLayer?.(typeof step === 'string' ? step : step.name, y);
    if (x !== image) be.free(x);
    x = y;
  }
  for (const { name, branches } of network.blocks) {
    const y = be.tensor(blockShape(x.shape, branches));
    let offset = 0;
    for (const { steps, ends } of branches) {
      let t = x;
      const inner = ends ? steps : steps.slice(0, -1);
      for (const step of inner) {
        const next = apply(t, step);
        if (t !== x) be.free(t);
        t = next;
      }
      for (const end of ends ?? [steps.at(-1)!]) {
        apply(t, end, y, offset);
        offset += typeof end === 'string' ? t.shape[3]! : end.co;
      }
      if (t !== x) be.free(t);
    }
    onLayer?.(name, y);
    be.free(x);
    x = y;
  }
  const pool = be.tensor([b, 1, 1, network.features]);
  be.run(pool2d.forward, { x, y: pool }, { size: x.shape[1]!, stride: 1, pad: 0, mean: 1, offset: 0 });
  be.free(x);
  const flat = be.reshape(pool, [b, network.features]);
  const logits = be.tensor([b, network.classes]);
  be.run(linear.forward, { x: flat, w: fc, y: logits });
  return { pool: flat, spatial, logits };
}

/** The shape of a block's output: the branches' channels beside each other, in half the size if the block halves it. */
function blockShape([b, hi, wi, ci]: readonly number[], branches: readonly Branch[]): number[] {
  const ends = branches.flatMap(({ steps, ends }): readonly (Conv | Pool)[] => ends ?? [steps.at(-1)!]);
  const channels = ends.reduce((sum, end) => sum + (typeof end === 'string' ? ci! : end.co), 0);
  const halves = ends.some((end) => end === 'halve' || (typeof end === 'object' && end.stride === 2));
  return halves ? [b!, halved(hi!), halved(wi!), channels] : [b!, hi!, wi!, channels];
}
