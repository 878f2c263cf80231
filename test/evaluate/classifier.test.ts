/** The classifier behind `npm run quality` and `aim evaluate --features own`. */
import { describe, expect, it } from 'vitest';
import { Classifier, FEATURES } from '../../src/evaluate/classifier.js';

/** n reproducible numbers between -1 and 1. */
const values = (n: number, seed: number) => Float64Array.from({ length: n }, (_, i) => (Math.sin(i * 7.13 + seed) * 1e4) % 1);
describe('classifier', () => {
  const images = Uint8Array.from(values(12 * 64, 3), (v) => 128 + 127 * v);
  const labels = Array.from({ length: 12 }, (_, i) => i % 3);
  const index = Uint32Array.from(labels.keys());

  it('has a gradient that agrees with central differences', () => {
    const net = new Classifier(8, 3);
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
        (_, loss) => losses.push(loss),
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
});
