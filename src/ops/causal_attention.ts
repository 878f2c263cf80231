/**
 * y[i] = Σⱼ softmaxⱼ(q[i]·k[j]·scale)·v[j] over positions j ≤ i, for each of h heads of queries. qkv holds the heads of queries, then
 * g of keys, then g of values; head number e of queries looks at head ⌊e·g/h⌋ of keys and values (Ainslie et al. 2023).
 *
 * With a cache of keys and values, row i continues at position step[i mod b]: the op reads the positions before from the cache and
 * writes those of the call into it. A step past the end of the cache counts as the last that fits. The counter is on the device, so
 * that one recorded step serves every token.
 */
import shader from '../../shaders/causal_attention.wgsl';
import { furtherKernels } from './further_kernels.js';
import { ceilDiv, entry, type GpuPlan, grid } from './spec.js';

/** Rows (queries, or keys in backward) that a workgroup computes. */
const GPU_ROWS = 16;
/** The most channels of a head, for which the kernels have memory. */
const MOST_CHANNELS = 256;

const heads = ({ n, h, c }: Record<'n' | 'h' | 'c', number>): string | undefined => {
  const g = (n - h) / 2;
  if (!Number.isInteger(g) || g < 1 || h % g)
    return `qkv has ${n} heads and y ${h}; qkv needs those ${h} and twice a divisor of ${h}, for keys and values.`;
  return c > MOST_CHANNELS ? `heads have ${c} channels; use at most ${MOST_CHANNELS} (head_dim).` : undefined;
};

/** A power of two that is at least n. */
const powerOfTwo = (n: number) => 2 ** Math.ceil(Math.log2(n));

/** Kernels in which a thread sums up one channel of some rows. */
const blocks = (c: number) => ({ COLUMNS: Math.max(64, powerOfTwo(c)) });

/** Plans a step: a workgroup takes one head of queries, and a thread one key of every WG. */
function stepPlan({ m, h, c, t }: Record<'m' | 'h' | 'c' | 't', number>): GpuPlan {
  const vectors = c % 4 === 0;
  const columns = powerOfTwo(vectors ? c / 4 : c);
  return {
    entry: vectors ? 'forward_step_vec4' : 'forward_step',
    constants: { WG: Math.max(columns, Math.min(256, Math.max(64, powerOfTwo(t)))), COLUMNS: columns },
    vec4: vectors ? ['qkv', 'keys', 'values', 'y'] : [],
    workgroups: grid(m * h),
    series: true,
  };
}

export const causalAttention = {
  forward: entry('causal_attention', 'forward', shader, {
    tensors: {
      qkv: { shape: 'm l n c', io: 'in' },
      keys: { shape: 'm t g c', io: 'inout', optional: true },
      values: { shape: 'm t g c', io: 'inout', optional: true },
      step: { shape: 'b', io: 'in', dtype: 'u32', optional: true },
      y: { shape: 'm l h c', io: 'out' },
      lse: { shape: 'm h l', io: 'out', optional: true },
    },
    attrs: { scale: 'f32' },
    batch: 'm b',
    check(d) {
      const { m, l, n, h, t, g, b } = d;
      const wrong = heads(d);
      if (wrong) return wrong;
      if ((t === 0) !== (b === 0)) return 'a cache needs keys, values and step; pass all three or none.';
      if (b === 0) return undefined;
      if (g !== (n - h) / 2)
        return `the cache has ${g} heads, expected ${(n - h) / 2} as in qkv; pass [m, t, ${(n - h) / 2}, c].`;
      if (m !== b && m !== 2 * b) return `qkv has ${m} rows for ${b} counters; pass as many, or twice as many.`;
      return l <= t ? undefined : `${l} positions do not fit into a cache of ${t}; pass fewer.`;
    },
    webgpu(d) {
      const { m, l, h, c } = d;
      if (l === 1) return stepPlan(d);
      return { constants: blocks(c), workgroups: [ceilDiv(l, GPU_ROWS), ...grid(m * h)] };
    },
    // Without a cache half of the pairs are in the past; with one, there is no telling.
    flops: ({ m, l, h, c, t }) => 4 * m * l * h * c * (t || (l + 1) / 2),
    wasmParts: true,
    wasmBinary: furtherKernels,
    tolerance: { f32: 5e-6, reason: 'scores of c products in f32 pass an exp, then up to l products are summed' },
  }),

  /** `y` and `lse` are what forward computed without a cache: outputs, and the logarithm of each query's sum of exponentials. */
  backward: entry('causal_attention', 'backward', shader, {
    tensors: {
      qkv: { shape: 'm l n c', io: 'in' },
      y: { shape: 'm l h c', io: 'in' },
      lse: { shape: 'm h l', io: 'in' },
      dy: { shape: 'm l h c', io: 'in' },
      dqkv: { shape: 'm l n c', io: 'out' },
    },
    attrs: { scale: 'f32' },
    check: heads,
    webgpu: ({ m, l, n, c, h }) => ({
      passes: [
        {
          entry: 'backward_query',
          constants: blocks(c),
          reads: ['qkv', 'y', 'lse', 'dy'],
          writes: ['dqkv', 'along'],
          workgroups: [ceilDiv(l, GPU_ROWS), ...grid(m * h)],
        },
        {
          entry: 'backward_key',
          constants: blocks(c),
          reads: ['qkv', 'lse', 'dy', 'along'],
          writes: ['dqkv'],
          workgroups: [ceilDiv(l, GPU_ROWS), ...grid((m * (n - h)) / 2)],
        },
      ],
      workspaces: { along: m * h * l },
    }),
    flops: ({ m, l, h, c }) => 5 * m * l * (l + 1) * h * c,
    wasmParts: true,
    tolerance: { f32: 1e-5, reason: 'products of c and of l summands in f32 with an exp between, differences of them' },
  }),
};
