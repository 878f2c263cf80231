/** Drawing into a gallery, for whoever draws: the Generate tab, and Inspect twice. */
import type { AiM, GenerateOptions } from 'aim-js/worker';
import type { Gallery } from './gallery.js';

/** How often the images so far are decoded: on every token, as long as that takes no more time than drawing, or never. */
export type Show = 'balanced' | 'every' | 'end';

export interface Report {
  /** The batch at work: images first … first + batch − 1 of all. */
  first: number;
  batch: number;
  count: number;
  /** Its tokens that are visible, of all. Where nothing is shown before the end: those drawn. */
  step: number;
  steps: number;
  /** Images drawn, visible or not, counting parts, and what that took. */
  done: number;
  seconds: number;
}

export const classNames = (aim: AiM): string[] =>
  aim.classes ?? Array.from({ length: aim.config.num_classes }, (_, i) => `Class ${i}`);

/** Draws `count` images of the classes, taken in turn. Rejects like `generate`; what was drawn until then stays visible. */
export async function drawInto(
  gallery: Gallery,
  aim: AiM,
  options: GenerateOptions & { classes: readonly number[]; count: number; seed: number },
  show: Show,
  onReport: (report: Report) => void,
): Promise<Report> {
  const { classes, count, seed } = options;
  const { image_size, num_tokens } = aim.config;
  const names = classNames(aim);
  const started = performance.now();
  gallery.clear(Math.sqrt(num_tokens));
  let report: Report = { first: 0, batch: 0, count, step: 0, steps: num_tokens, done: 0, seconds: 0 };
  const tell = (news: Partial<Report>) => {
    report = { ...report, ...news };
    onReport(report);
  };
  if (show !== 'end') gallery.onShown = (step) => tell({ step });
  let begun = 0;
  let cost = 0;
  let free = 0;
  /** Tiles for a batch are made when it begins, so that many images never hold up the page at once. */
  const begin = (first: number, batch: number) => {
    const planned = Array.from({ length: batch }, (_, i) => ({
      name: names[classes[(first + i) % classes.length]!]!,
      seed: seed + first + i,
    }));
    report = { ...report, first, batch, step: 0 };
    gallery.add(planned, image_size);
    begun = first + batch;
  };
  try {
    const { images } = await aim.generate({
      ...options,
      async onStep({ step, steps, first, batch, preview }) {
        if (first + batch > begun) begin(first, batch);
        const seconds = (performance.now() - started) / 1000;
        tell({ done: first + (batch * step) / steps, seconds, ...(show === 'end' && { step }) });
        const whole = step === steps;
        // The last batch comes whole as the result.
        if (whole && first + batch === count) return;
        if (!whole && (show === 'end' || (show === 'balanced' && performance.now() - free < cost))) return;
        const asked = performance.now();
        const seen = await preview();
        free = performance.now();
        cost = free - asked;
        if (whole) gallery.finish(first, seen);
        else gallery.update(seen, step);
      },
    });
    const seconds = (performance.now() - started) / 1000;
    gallery.finish(0, images);
    return { ...report, done: count, seconds };
  } finally {
    gallery.settle();
    gallery.onShown = undefined;
  }
}
