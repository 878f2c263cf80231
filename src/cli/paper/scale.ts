/** How large the experiments are: a minute on any processor, hours on a laptop, minutes on one GPU of a data centre. */

export interface Size {
  name: string;
  d_model: number;
  n_layer: number;
}

export interface Scale {
  /** Images to train on, and held-out images that samples are compared with; as many as there are if there are fewer. */
  train: number;
  reference: number;
  /** Images drawn for each figure. */
  samples: number;
  /** Steps of stage 2, and images in one. */
  steps: number;
  batchSize: number;
  lr: number;
  /** Evaluations on the way, for curves. */
  points: number;
  /** Steps of the tokenizer, where the data has none. */
  tokenizerSteps: number;
  /** Four sizes, smallest first; `base` is the one that other experiments train. */
  sizes: readonly [Size, Size, Size, Size];
  base: Size;
  /** Tokens of an image whose time is measured, and runs of each. */
  tokens: readonly number[];
  runs: number;
}

const sizes = (...rows: readonly [name: string, d_model: number, n_layer: number][]) =>
  rows.map(([name, d_model, n_layer]) => ({ name, d_model, n_layer })) as unknown as Scale['sizes'];

const TINY = sizes(['XS', 32, 2], ['S', 48, 2], ['M', 64, 3], ['L', 96, 4]);
const LAPTOP = sizes(['XS', 64, 4], ['S', 96, 6], ['M', 128, 8], ['L', 192, 8]);
const GPU = sizes(['XS', 96, 4], ['S', 128, 8], ['M', 192, 8], ['L', 256, 12]);

export const SCALES = {
  tiny: {
    ...{ train: 240, reference: 120, samples: 20, steps: 6, batchSize: 8, lr: 2e-3, points: 2, tokenizerSteps: 4 },
    ...{ sizes: TINY, base: TINY[0], tokens: [16, 64], runs: 1 },
  },
  laptop: {
    ...{
      train: 10_000,
      reference: 5_000,
      samples: 1_000,
      steps: 1_500,
      batchSize: 32,
      lr: 1e-3,
      points: 5,
      tokenizerSteps: 2_000,
    },
    ...{ sizes: LAPTOP, base: LAPTOP[2], tokens: [64, 256, 1024], runs: 3 },
  },
  gpu: {
    ...{
      train: 1e6,
      reference: 10_000,
      samples: 4_000,
      steps: 1_200,
      batchSize: 256,
      lr: 2e-3,
      points: 3,
      tokenizerSteps: 3_000,
    },
    ...{ sizes: GPU, base: GPU[1], tokens: [64, 256, 1024, 4096], runs: 3 },
  },
} as const satisfies Record<string, Scale>;

export type ScaleName = keyof typeof SCALES;
