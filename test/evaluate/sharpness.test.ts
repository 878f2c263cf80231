/** The measures of sharpness on pictures of known ones. */
import { expect, it } from 'vitest';
import { addSharpness, noSharpness, sharpnessOf } from '../../src/evaluate/sharpness.js';
import { rng } from '../ops/harness.js';

const SIZE = 32;
type Light = (x: number, y: number) => number;

/** [SIZE, SIZE, 3], grey. */
const picture = (light: Light) =>
  Float32Array.from({ length: 3 * SIZE * SIZE }, (_, i) => light(Math.floor(i / 3) % SIZE, Math.floor(i / 3 / SIZE)));
/** A white disc on black. */
const disc: Light = (x, y) => (Math.hypot(x - 16, y - 16) < 9 ? 1 : -1);
/** The mean of 3×3 pixels. */
const blurred: Light = (x, y) => {
  let sum = 0;
  for (const dy of [-1, 0, 1]) for (const dx of [-1, 0, 1]) sum += disc(x + dx, y + dy) / 9;
  return sum;
};

function sharpness(copy: Float32Array, original = picture(disc)) {
  const sums = noSharpness();
  addSharpness(sums, original, copy, SIZE);
  return sharpnessOf(sums);
}

it('a picture is as sharp as itself, and a flat one not at all', () => {
  expect(sharpness(picture(disc))).toEqual({ mse: 0, edges: 1, detail: 1, flat: 0, flatOriginal: 0 });
  expect(sharpness(picture(() => 0))).toEqual({ mse: 1, edges: 0, detail: 0, flat: 0, flatOriginal: 0 });
});

it('blur takes edges and detail away, and half the contrast half of the edges', () => {
  const { edges, detail, flat } = sharpness(picture(blurred));
  expect(edges).toBeGreaterThan(0.5);
  expect(edges).toBeLessThan(0.9);
  expect(detail).toBeLessThan(edges ** 2);
  expect(flat).toBeGreaterThanOrEqual(0);
  const half = sharpness(picture((x, y) => disc(x, y) / 2));
  expect(half.edges).toBeCloseTo(0.5, 12);
  expect(half.detail).toBeCloseTo(0.25, 12);
});

it('noise raises the slopes of flat places', () => {
  const random = rng(1);
  const noise = Array.from({ length: SIZE * SIZE }, () => 0.1 * (random() - 0.5));
  const noisy = sharpness(picture((x, y) => disc(x, y) + noise[y * SIZE + x]!));
  expect(noisy.flat).toBeGreaterThan(0.005);
  expect(noisy.flatOriginal).toBe(0);
});

it('is of luminance, and the mean of pictures', () => {
  const red = picture(disc).map((v, i) => (i % 3 === 0 ? v : 0));
  expect(sharpness(red).edges).toBeCloseTo(0.299, 12);
  const sums = noSharpness();
  for (const copy of [picture(disc), picture(() => 0)]) addSharpness(sums, picture(disc), copy, SIZE);
  expect(sharpnessOf(sums)).toMatchObject({ mse: 0.5, edges: 0.5, detail: 0.5 });
});
