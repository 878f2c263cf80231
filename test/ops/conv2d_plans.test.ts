/** The tokenizer's ops with factors rounded to f16, and in batches. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { WebGpuBackend } from '../../src/backend/webgpu.js';
import { conv2d } from '../../src/ops/conv2d.js';
import { NO_ADAPTER, webgpuBackend } from '../backends.js';
import convolutions from './conv2d.cases.js';
import { type Case, checkCase, type OpCases } from './harness.js';
import { DEFAULT_CAPS, passesOf, planOf } from './launches.js';

/** At least 64 input and 33 output channels: one slab, just over one, patches just over and under, channels in parts. */
const square = (b: number, side: number, ci: number, co: number, up = 1): Case => {
  const d = { b, hi: side, wi: side, ci, co, kh: 3, kw: 3, ho: side * up, wo: side * up, stride: 1, pad: 1, up };
  return d;
};
const halves = [
  square(1, 16, 64, 128),
  { ...square(2, 17, 32, 36), half: ['w'] },
  { ...square(1, 15, 96, 132), omit: ['residual'] },
  { ...square(1, 16, 256, 64), half: ['w'] },
  square(2, 8, 512, 256),
  square(1, 9, 64, 64, 2),
];

describe('factors rounded to f16', () => {
  let backend: WebGpuBackend | undefined;
  beforeAll(async () => {
    const dawn = ['enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia'];
    backend = (await webgpuBackend({ precision: 'mixed', dawn })) as typeof backend;
  });
  afterAll(() => backend?.dispose());

  for (const entry of [conv2d.forward, conv2d.backward_input]) {
    it(entry.key, async ({ skip }) => {
      if (!backend) return skip(NO_ADAPTER);
      const { caps } = backend;
      if (!caps.matrices) return skip('this adapter has no 16×16×16 subgroup matrices of f16 (NVIDIA under Dawn has)');
      const fitting = entry === conv2d.forward ? halves : halves.filter((c) => c.up === 1);
      const wrong: string[] = [];
      for (const [i, c] of fitting.entries()) {
        expect(passesOf(planOf(entry, c, caps))[0]!.entry).toBe('matrix');
        wrong.push(...(await checkCase(backend, { entry, cases: [] } as OpCases, c, 5000 + i, 'f16')));
      }
      expect(wrong).toEqual([]);
    });
  }
});

it('how an image is made does not depend on its batch', () => {
  const sizes: Case[] = [
    ...[...halves, square(1, 16, 512, 512), square(1, 32, 256, 256), square(1, 64, 128, 3)],
    ...convolutions[0]!.cases,
  ];
  for (const size of sizes) {
    const shape = (b: number) =>
      passesOf(planOf(conv2d.forward, { ...size, b }, DEFAULT_CAPS)).map(({ entry, constants }) => ({ entry, constants }));
    expect(shape(1)).toEqual(shape(16));
  }
});
