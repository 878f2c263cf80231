/** The classifier behind `npm run quality` and `aim evaluate --features own`. */
import { describe, expect, it } from 'vitest';
import { Classifier, FEATURES } from '../../src/evaluate/classifier.js';

/** n reproducible numbers between -1 and 1. */
const values = (n: number, seed: number) => Float64Array.from({ length: n }, (_, i) => (Math.sin(i * 7.13 + seed) * 1e4) % 1);
describe('classifier', () => {
  const images = Uint8Array.from(values(12 * 64, 3), (v) => 128 + 127 * v);
  const labels = Array.from({ length: 12 }, (_, i) => i % 3);
  const index = Uint32Array.from(labels.keys());

  it.each([1, 3] as const)('has a gradient that agrees with central differences, %i channels', (channels) => {
    const net = new Classifier(8, 3, undefined, channels);
    const images = Uint8Array.from(values(12 * 64 * channels, 3), (v) => 128 + 127 * v);
    net.gradient(images, labels, index);
    for (const { w, dw } of net.layers) {
      const analytic = dw.slice();
      const largest = analytic.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
      for (let i = 0; i < w.length; i += Math.ceil(w.length / 20)) {
        const [before, step] = [w[i]!, 2e-4];
        const lossAt = (v: number) => {
          w[i] = v;
          return net.gradient(images, labels, index);
        };
        const difference = (lossAt(before + step) - lossAt(before - step)) / (2 * step);
        w[i] = before;
        // The tolerance allows for float32 sums and for ReLUs whose sign changes within the step.
        expect(Math.abs(difference - analytic[i]!)).toBeLessThan(0.02 * largest);
      }
    }
  });

  it('training is reproducible, and saved weights restore the classifier', async () => {
    const train = async () => {
      const net = new Classifier(8, 3);
      const many = Array.from({ length: 600 }, (_, i) => i % 12);
      const pixels = Uint8Array.from(many.flatMap((i) => [...images.subarray(i * 64, (i + 1) * 64)]));
      const losses: number[] = [];
      await net.train(
        pixels,
        Uint16Array.from(many, (i) => labels[i]!),
        { onEpoch: (_, loss) => losses.push(loss) },
      );
      expect(losses.at(-1)!).toBeLessThan(losses[0]!);
      return net;
    };
    const [net, again] = [await train(), await train()];
    const seen = net.classify(images);
    expect([...seen.labels]).toEqual(labels);
    expect(seen.features).toHaveLength(12 * FEATURES);
    expect(again.save()).toEqual(net.save());
    expect(new Classifier(8, 3, net.save()).classify(images)).toEqual(seen);
    // The class is that of the largest logit.
    expect(labels.map((_, i) => [0, 1, 2].sort((a, b) => seen.logits[3 * i + b]! - seen.logits[3 * i + a]!)[0])).toEqual(labels);
  });

  it('trained with shifts knows shifted and mirrored images, which without them it does not', async () => {
    // Class 0 is brighter in red, class 1 in blue, on a spot in the left upper corner.
    const spot = (label: number, at: number) =>
      Uint8Array.from({ length: 16 * 16 * 3 }, (_, i) => {
        const [x, y, c] = [Math.floor(i / 3) % 16, Math.floor(i / 48), i % 3];
        return x >= at && x < at + 3 && y >= at && y < at + 3 && c === 2 * label ? 250 : 20;
      });
    const join = (parts: Uint8Array[]) => Uint8Array.from(parts.flatMap((part) => [...part]));
    const wanted = Array.from({ length: 200 }, (_, i) => i % 2);
    const accuracy = async (shift: number) => {
      const net = new Classifier(16, 2, undefined, 3);
      await net.train(join(wanted.map((label) => spot(label, 4))), wanted, { epochs: 6, shift });
      const moved = Array.from({ length: 9 }, (_, i) => [spot(0, i), spot(1, i)]).flat();
      return [...net.classify(join(moved)).labels].filter((seen, i) => seen === i % 2).length / 18;
    };
    expect(await accuracy(4)).toBeGreaterThan(0.9);
    expect(await accuracy(0)).toBeLessThan(0.9);
  });
});
