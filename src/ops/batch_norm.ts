/**
 * y = (x - mean)/√(var + eps)·weight + bias over the m values of each channel, in training mode (Ioffe & Szegedy 2015): the moments
 * are those of this batch. `variance` is m/(m - 1)·var, the unbiased one, which a running average takes (`ema`). Channels are last.
 */
import shader from '../../shaders/batch_norm.wgsl';
import { ceilDiv, entry, type GpuPass, grid } from './spec.js';

/** Columns of a workgroup, fewest rows of a range of rows, and most ranges, since the next pass reads the sums of all. */
const COLUMNS = 32;
const ROWS = 64;
const MOST_PARTS = 64;

const check = ({ m }: { m: number }) =>
  m >= 2 ? undefined : `${m} value of each channel has no variance; pass at least 2 rows (images × pixels).`;

/** The passes: sums over ranges of rows, the sums of all ranges, then every element. */
function passes({ m, c }: { m: number; c: number }, [first, second, last]: readonly [GpuPass, GpuPass, GpuPass], sums: number) {
  const parts = Math.min(MOST_PARTS, ceilDiv(m, ROWS));
  const constants = { COLUMNS, PARTS: parts };
  return {
    passes: [
      { ...first, constants, workgroups: [ceilDiv(c, COLUMNS), parts] },
      { ...second, constants, workgroups: grid(ceilDiv(c, 64)) },
      { ...last, constants, workgroups: grid(ceilDiv(m * c, 256)) },
    ] satisfies GpuPass[],
    workspaces: { parts: 2 * parts * c, ...(sums && { sums }) },
  };
}

const pass = (entry: string, reads: string[], writes: string[]): GpuPass => ({ entry, reads, writes, workgroups: [1] });

export const batchNorm = {
  forward: entry('batch_norm', 'forward', shader, {
    tensors: {
      x: { shape: 'm c', io: 'in' },
      weight: { shape: 'c', io: 'in' },
      bias: { shape: 'c', io: 'in' },
      y: { shape: 'm c', io: 'out' },
      mean: { shape: 'c', io: 'out' },
      variance: { shape: 'c', io: 'out' },
    },
    attrs: { eps: 'f32' },
    check,
    webgpu: (d) =>
      passes(
        d,
        [
          pass('moments', ['x'], ['parts']),
          pass('join', ['parts'], ['mean', 'variance']),
          pass('forward', ['x', 'weight', 'bias', 'mean', 'variance'], ['y']),
        ],
        0,
      ),
    flops: ({ m, c }) => 8 * m * c,
    tolerance: { f32: 1e-5, reason: 'moments from sums in f32; a mean may be far smaller than the values' },
  }),

  /** `mean` and `variance` are those of forward. */
  backward: entry('batch_norm', 'backward', shader, {
    tensors: {
      x: { shape: 'm c', io: 'in' },
      weight: { shape: 'c', io: 'in' },
      mean: { shape: 'c', io: 'in' },
      variance: { shape: 'c', io: 'in' },
      dy: { shape: 'm c', io: 'in' },
      dx: { shape: 'm c', io: 'out' },
      dweight: { shape: 'c', io: 'inout', optional: true },
      dbias: { shape: 'c', io: 'inout', optional: true },
    },
    attrs: { eps: 'f32' },
    check,
    webgpu: (d) =>
      passes(
        d,
        [
          pass('slopes', ['x', 'mean', 'variance', 'dy'], ['parts']),
          pass('collect', ['parts'], ['sums', 'dweight', 'dbias']),
          pass('backward', ['x', 'weight', 'mean', 'variance', 'dy', 'sums'], ['dx']),
        ],
        2 * d.c,
      ),
    flops: ({ m, c }) => 14 * m * c,
    tolerance: { f32: 1e-5, reason: 'two sums over the rows in f32, whose means are taken from values of their size' },
  }),
};
