/** What `aim bench` measures by default on each device, and how it computes its figures. */
import { describe, expect, it } from 'vitest';
import { bench } from '../../src/cli/bench/index.js';
import { exponent, timing } from '../../src/cli/bench/measure.js';
import { plan, readOptions, variants } from '../../src/cli/bench/options.js';
import { parse } from '../../src/cli/command.js';
import { parseConfig } from '../../src/model/config.js';
import { NO_ADAPTER, wasmBackend, webgpuBackend } from '../backends.js';

const asked = (...argv: string[]) => readOptions(parse(bench, argv)!);

describe('the default benchmark plan', () => {
  it('on WASM uses the embedded model', async () => {
    const be = await wasmBackend();
    expect(plan(asked(), be)).toEqual({
      gpu: false,
      suites: ['generate'],
      loads: true,
      presets: [],
      drawn: { batches: [10], mixers: ['Mamba2'], samplings: ['plain'] },
      trained: { batches: [32], mixers: ['Mamba2', 'Mamba1'], recompute: ['off'] },
      weights: ['f32'],
      precisions: ['f32'],
    });
    const mamba1 = plan(asked('--preset', 'aim-b', '--mixer', 'Mamba1', '--batch', '2'), be);
    expect(mamba1).toMatchObject({
      loads: false,
      presets: ['aim-b'],
      drawn: { batches: [2], mixers: ['Mamba1'] },
      trained: { batches: [2], mixers: ['Mamba1'], recompute: ['off'] },
    });
    be.dispose();
  });

  it('on WebGPU measures every mode that the adapter supports', async ({ skip }) => {
    const be = await webgpuBackend();
    if (!be) return skip(NO_ADAPTER);
    const p = plan(asked(), be);
    expect(p.suites).toEqual(['generate', 'decode', 'train', 'gemm', 'scaling']);
    expect(p.presets).toEqual(['aim-b', 'aim-l', 'aim-xl']);
    expect(p.drawn).toEqual({ batches: [1, 8, 16], mixers: ['Mamba2'], samplings: ['plain', 'authors'] });
    expect(p.weights).toEqual(['f32', 'f16']);
    // Without Dawn's flags no adapter shows matrix units.
    expect(p.precisions).toEqual(['f32']);
    expect(() => plan(asked('--precision', 'f32,mixed'), be)).toThrow(/shows no matrix units; .*vulkan_enable_f16_on_nvidia/);
    // A model that is named is measured alone.
    expect(plan(asked('some/model'), be)).toMatchObject({ loads: true, presets: [] });
    be.dispose();
  });
});

it('presets are measured with each mixer, a Transformer once', () => {
  expect(variants('aim-b', ['Mamba2', 'Mamba1']).map((json) => parseConfig(json).mixer.layer)).toEqual(['Mamba2', 'Mamba1']);
  expect(variants('transformer-b', ['Mamba2', 'Mamba1']).map((json) => parseConfig(json).mixer.layer)).toEqual(['Attention']);
});

it('the median of an even number of runs is the mean of the middle two', () => {
  expect(timing([5, 1, 2, 10])).toEqual({ median: 3.5, fastest: 1, slowest: 10 });
  expect(timing([3, 1, 2])).toEqual({ median: 2, fastest: 1, slowest: 3 });
});

it('the fitted exponents match the growth of the times', () => {
  const points = [1, 2, 8, 64].map((n) => [n, 3 * n ** 1.5] as const);
  expect(exponent(points)).toBeCloseTo(1.5, 10);
});
