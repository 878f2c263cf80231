/** The kernels that convolve an image do not depend on how many images there are. */
import { expect, it } from 'vitest';
import { conv2d } from '../../src/ops/conv2d.js';
import convolutions, { variants } from './conv2d.cases.js';
import type { Case } from './harness.js';
import { DEVICES, passesOf, planOf } from './launches.js';

it.each(Object.entries(DEVICES))('%s', (_name, caps) => {
  const square = (side: number, ci: number, co: number): Case => {
    return { b: 1, hi: side, wi: side, ci, co, kh: 3, kw: 3, ho: side, wo: side, stride: 1, pad_y: 1, pad_x: 1, up: 1 };
  };
  const sizes: Case[] = [
    ...[square(16, 512, 512), square(32, 256, 256), square(64, 128, 3)],
    ...[...convolutions, ...variants]
      .filter(({ entry }) => entry.key === conv2d.forward.key)
      .flatMap(({ cases }) => cases as Case[]),
  ];
  expect(sizes.length).toBeGreaterThan(40);
  for (const size of sizes) {
    const kernels = (b: number) =>
      passesOf(planOf(conv2d.forward, { ...size, b }, caps)).map(({ entry, constants }) => ({ entry, constants }));
    expect(kernels(1)).toEqual(kernels(16));
  }
});
