/** Draws images into a gallery, for all tabs. */
import type { AiM, GenerateOptions } from 'aim-js/worker';
import { printable } from './dom.js';
import type { Gallery, OnClick, Planned } from './gallery.js';

/** When unfinished images are decoded: after every token, at most a quarter of the time, or never. */
export type Show = 'balanced' | 'every' | 'end';

export interface Report {
  /** The current batch: images first … first + batch − 1. */
  first: number;
  batch: number;
  count: number;
  /** Tokens of the current batch that are visible. With 'end', tokens that are generated. */
  step: number;
  steps: number;
  /** Images generated so far, including fractions of the current batch, and the time since the start. */
  done: number;
  seconds: number;
}

/** The names of all classes, safe to show. */
export const classNames = (aim: AiM): string[] =>
  aim.classes?.map(printable) ?? Array.from({ length: aim.config.num_classes }, (_, i) => `Class ${i}`);

/** Draws `count` images; image i has class `classes[i % classes.length]`. Rejects like `generate`; the images so far stay visible. */
export function drawInto(
  gallery: Gallery,
  aim: AiM,
  options: GenerateOptions & { classes: readonly number[]; count: number; seed: number },
  show: Show,
  onReport: (report: Report) => void,
): Promise<Report> {
  return drawTiles(gallery, aim, { tiles: tilesOf(aim, options), calls: [options] }, show, onReport);
}

/** What is to be drawn: the images, and the options of the calls of `generate` that draw them, one after the other. */
export interface Order {
  tiles: readonly Planned[];
  calls: readonly GenerateOptions[];
  /** What a click on an image does, in place of saving it. */
  onClick?: OnClick;
}

/** The images of classes in turn, with seeds that count up. */
export function tilesOf(
  aim: AiM,
  { classes, count, seed }: { classes: readonly number[]; count: number; seed: number },
): Planned[] {
  const names = classNames(aim);
  return Array.from({ length: count }, (_, i) => ({ name: names[classes[i % classes.length]!]!, seed: seed + i }));
}

/** Draws the images of an order into an empty gallery. Rejects like `generate`; the images so far stay visible. */
export async function drawTiles(
  gallery: Gallery,
  aim: AiM,
  { tiles, calls, onClick }: Order,
  show: Show,
  onReport: (report: Report) => void,
): Promise<Report> {
  const { image_size, num_tokens } = aim.config;
  const count = tiles.length;
  const started = performance.now();
  gallery.clear(Math.sqrt(num_tokens));
  gallery.onClick = onClick;
  let report: Report = { first: 0, batch: 0, count, step: 0, steps: num_tokens, done: 0, seconds: 0 };
  const update = (changes: Partial<Report>) => {
    report = { ...report, ...changes };
    onReport(report);
  };
  if (show !== 'end') gallery.onShown = (step) => update({ step });
  /** Images that have a tile, and those that earlier calls have drawn. */
  let begun = 0;
  let earlier = 0;
  /** How long the last preview took, and when it ended. */
  let cost = 0;
  let previewed = 0;
  /** Adds the tiles of a batch. Adding all tiles at the start would block the page when there are many images. */
  const begin = (first: number, batch: number) => {
    report = { ...report, first, batch, step: 0 };
    gallery.add(tiles.slice(first, first + batch), image_size);
    begun = first + batch;
  };
  try {
    for (const options of calls) {
      const { images } = await aim.generate({
        ...options,
        async onStep({ step, steps, first: from, batch, count: all, preview }) {
          const first = earlier + from;
          if (first + batch > begun) begin(first, batch);
          const seconds = (performance.now() - started) / 1000;
          update({ done: first + (batch * step) / steps, seconds, ...(show === 'end' && { step }) });
          const whole = step === steps;
          // The result of `generate` contains the last batch.
          if (whole && from + batch === all) return;
          if (!whole && (show === 'end' || (show === 'balanced' && performance.now() - previewed < 3 * cost))) return;
          const asked = performance.now();
          const preliminary = await preview();
          previewed = performance.now();
          cost = previewed - asked;
          if (whole) gallery.finish(first, preliminary);
          else gallery.update(preliminary, step);
        },
      });
      gallery.finish(earlier, images);
      earlier += images.length;
    }
    return { ...report, done: count, seconds: (performance.now() - started) / 1000 };
  } finally {
    gallery.settle();
    gallery.onShown = undefined;
  }
}
