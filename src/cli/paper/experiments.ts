/** The experiments by name. docs/paper.md has the paper's figures beside them. */

import { AiM } from '../../aim.js';
import { type AimConfigJson, VQ_F16 } from '../../model/config.js';
import { transformerLike } from '../../model/presets.js';
import { SAMPLING, type SamplingOptions } from '../../model/sampler.js';
import { plotLoss, type Series } from '../../train/plot.js';
import { generation } from '../bench/suites.js';
import { type Cell, type Experiment, points, type Result, type Row, round } from './experiment.js';
import type { Material } from './material.js';
import type { Size } from './scale.js';
import { draw, drawer, train } from './train.js';

/** Guidance with which trained models are compared, as in the paper's ablation. */
const GUIDED: SamplingOptions = { cfgScale: 2 };
/** How many images of a cell are shown. */
const SHOWN = 40;
const DISTANCE = "Fréchet distance of the judge's features";

const scored = async (m: Material, images: Awaited<ReturnType<typeof draw>>): Promise<Row> => {
  const { fd, accuracy } = await m.score(images);
  return { FD: round(fd), 'accuracy %': round(accuracy, 3) };
};

/** A row of a table: what is written in it, and how its images are drawn. */
interface Drawn {
  columns: Row;
  sampling?: SamplingOptions;
}

/** Trains a model from nothing, and scores what it draws for each row. The samples are those of the last. */
function trained(
  name: string,
  size: Size,
  drawn: readonly Drawn[],
  { change = {}, without = [] }: { change?: object; without?: readonly string[] } = {},
): Cell {
  return {
    name,
    settings: { size, change, without, samplings: drawn.map(({ sampling = GUIDED }) => sampling) },
    async run(m): Promise<Result> {
      const aim = await m.model(size, change);
      try {
        await train(aim, m, { name, without });
        const rows: Row[] = [];
        let samples: Result['samples'];
        for (const { columns, sampling = GUIDED } of drawn) {
          const images = await draw(aim, m, sampling);
          rows.push({ ...columns, parameters: aim.parameters.model, ...(await scored(m, images)) });
          samples = images.slice(0, SHOWN);
        }
        return { rows, samples };
      } finally {
        await aim.dispose();
      }
    },
  };
}

const scaling: Experiment = {
  name: 'scaling',
  about: 'four sizes: FD against steps and parameters, and their correlation (Fig. 6)',
  data: true,
  cells: (scale) =>
    scale.sizes.map((size) => ({
      name: size.name,
      settings: { size, sampling: GUIDED },
      async run(m): Promise<Result> {
        const aim = await m.model(size);
        try {
          const rows: Row[] = [];
          let samples: Result['samples'];
          const onPoint = async (steps: number) => {
            const images = await draw(aim, m, GUIDED);
            samples = images.slice(0, SHOWN);
            rows.push({ model: size.name, parameters: aim.parameters.model, steps, ...(await scored(m, images)) });
          };
          await train(aim, m, { name: size.name, onPoint });
          return { rows, samples };
        } finally {
          await aim.dispose();
        }
      },
    })),
  plot: (rows) => plotLoss('Size and training', DISTANCE, series(rows, 'model', 'steps', 'FD'), 'steps'),
  notes(rows) {
    const most = Math.max(...rows.map(({ steps }) => Number(steps)));
    const last = rows.filter(({ steps }) => steps === most);
    if (last.length < 3) return [];
    const r = correlation(last.map(({ parameters, FD }) => [Math.log(Number(parameters)), Number(FD)]));
    return [`Correlation of FD with the logarithm of the parameters, after ${most} steps: ${r.toFixed(4)} (the paper: -0.9838).`];
  },
};

const groups: Experiment = {
  name: 'groups',
  about: 'adaLN-single, 2 and 4 groups, adaLN per layer: parameters against FD (Table 3, Fig. 7)',
  data: true,
  cells: ({ base }) =>
    [
      { adaLN: 'single', change: { adaln_group: true, num_groups: 1 } },
      { adaLN: '2 groups', change: { adaln_group: true, num_groups: 2 } },
      { adaLN: '4 groups', change: { adaln_group: true, num_groups: 4 } },
      { adaLN: 'per layer', change: { adaln_group: false, num_groups: 1 } },
    ].map(({ adaLN, change }) => trained(adaLN.replace(' ', '-'), base, [{ columns: { adaLN } }], { change })),
  plot: (rows) => plotLoss('adaLN', DISTANCE, series(rows, 'adaLN', 'parameters', 'FD'), 'parameters'),
};

/** Position rows, and what makes layers depend on the class other than by the first element of the sequence. */
const POSITIONS = ['*.embeddings.position_embeddings.weight'];
const MODULATION = ['*.adaln_group.1.weight', '*.final_layer.adaLN_modulation.1.weight'];

const ablation: Experiment = {
  name: 'ablation',
  about: 'without guidance, position rows, adaLN (Table 4)',
  data: true,
  cells: ({ base }) =>
    [
      { name: 'rows-1-2', adaLN: false, PE: false, ways: [false, true] },
      { name: 'row-3', adaLN: false, PE: true, ways: [true] },
      { name: 'row-4', adaLN: true, PE: true, ways: [true] },
    ].map(({ name, adaLN, PE, ways }) =>
      trained(
        name,
        base,
        ways.map((CFG) => ({ columns: { adaLN, PE, CFG }, sampling: CFG ? GUIDED : { cfgScale: 1 } })),
        { without: [...(PE ? [] : POSITIONS), ...(adaLN ? [] : MODULATION)] },
      ),
    ),
  plot: (rows) => {
    const named = rows.map((row, i) => ({
      ...row,
      row: i + 1,
      what: ['adaLN', 'PE', 'CFG'].filter((c) => row[c]).join(' + ') || 'none',
    }));
    return plotLoss('Ablation', DISTANCE, series(named, 'what', 'row', 'FD'), 'row of the table');
  },
};

/** Models whose time is compared, by name: fields of config.json that differ from those of an AiM of the size. */
const TIMED: Record<string, (size: Size) => Partial<AimConfigJson>> = {
  AiM: () => ({}),
  Transformer: ({ d_model, n_layer }) => transformerLike(d_model, n_layer),
};
const BATCH = 16;

const speed: Experiment = {
  name: 'speed',
  about: `time of a batch of ${BATCH} against the number of tokens (Fig. 8)`,
  data: false,
  cells: ({ base, tokens, runs }) =>
    Object.entries(TIMED).flatMap(([model, fields]) =>
      tokens.map((num_tokens) => ({
        name: `${model}-${num_tokens}`,
        settings: { base, change: fields(base), num_tokens, runs },
        run: (m) => timeOf(m, { model, change: fields(base), size: base, num_tokens, runs }),
      })),
    ),
  plot: (rows) => plotLoss(`Time of a batch of ${BATCH}`, 'ms', series(rows, 'model', 'tokens', 'ms'), 'tokens of an image'),
  notes(rows) {
    const times = Object.keys(TIMED).map((model) => ({
      model,
      of: points(
        rows.filter((r) => r.model === model),
        'tokens',
        'ms',
      ),
    }));
    const grows = times
      .filter(({ of }) => of.length > 1)
      .map(({ model, of }) => `The time of ${model} grows with the power ${round(power(of), 3)} of the number of tokens.`);
    const [aim, other] = times.map(({ of }) => new Map(of.map(({ step, loss }) => [step, loss])));
    const shared = [...aim!.keys()].filter((tokens) => other!.has(tokens)).sort((a, b) => a - b);
    // One that is faster and slower in turn takes the same time, within the spread.
    const faster = shared.findLastIndex((tokens) => other!.get(tokens)! <= aim!.get(tokens)!);
    const crossed = shared[faster + 1];
    const most = shared.at(-1);
    return [
      'Guidance 1.5, decoding left out, random weights, which take the same time.',
      ...grows,
      ...(crossed !== undefined ? [`From ${crossed} tokens on the Transformer takes longer than AiM.`] : []),
      ...(crossed === undefined && most ? [`Up to ${most} tokens the Transformer takes no longer than AiM.`] : []),
    ];
  },
};

/** The exponent b of the least-squares fit a·x^b. */
function power(of: ReturnType<typeof points>): number {
  const [x, y] = [of.map(({ step }) => Math.log(step)), of.map(({ loss }) => Math.log(loss))];
  const mean = (list: number[]) => list.reduce((a, b) => a + b, 0) / list.length;
  const [mx, my] = [mean(x), mean(y)];
  return mean(x.map((v, i) => (v - mx) * (y[i]! - my))) / mean(x.map((v) => (v - mx) ** 2));
}

interface Timed {
  model: string;
  change: Partial<AimConfigJson>;
  size: Size;
  num_tokens: number;
  runs: number;
}

async function timeOf(m: Material, { model, change, size, num_tokens, runs }: Timed): Promise<Result> {
  // The tokenizer is not timed, so it is as small as can be.
  const vq_config = { ...VQ_F16, ch: 32, ch_mult: [1, 1], num_res_blocks: 1, z_channels: 32, n_embed: 512 };
  const json = { ...m.config({ vocab_size: 512, num_tokens, vq_config }, 10, size), ...change };
  const aim = await AiM.fromConfig(json, m.options.load);
  try {
    const context = { runs, signal: m.signal, copy: 0, ceilings: {}, profile: false };
    const { row } = await generation(aim.model, model, BATCH, 'f32', 'plain', context);
    const { ms, fastest, slowest } = row as Record<'ms' | 'fastest' | 'slowest', number>;
    const each = round((1000 * ms) / num_tokens);
    return { rows: [{ model, parameters: aim.parameters.model, tokens: num_tokens, ms, fastest, slowest, 'µs/token': each }] };
  } finally {
    await aim.dispose();
  }
}

/** One option at a time away from the defaults. */
const WAYS: readonly SamplingOptions[] = [
  {},
  ...[1, 2, 3, 5].map((cfgScale) => ({ cfgScale })),
  ...[0.7, 0.85, 1.15].map((temperature) => ({ temperature })),
  ...[10, 50].map((topK) => ({ topK })),
  { topP: 0.9 },
  { minP: 0.05 },
  { cfgScale: 3, cfgSchedule: 'linear' },
  { cfgScale: 3, cfgSchedule: 'power-cosine' },
  { cfgScale: 3, cfgStart: 0.25 },
  { cfgOn: 'probabilities' },
  { positions: 'authors' },
];

const guidance: Experiment = {
  name: 'guidance',
  about: 'FD and accuracy against guidance, temperature, cuts, and position rows (of --model)',
  data: true,
  cells: () =>
    WAYS.map((way) => {
      const name = Object.entries(way).flat().join('-') || 'defaults';
      return {
        name,
        settings: way,
        async run(m): Promise<Result> {
          const aim = await drawer(m);
          const images = await draw(aim, m, way);
          const differs = Object.entries(way).map(([option, value]) => `${option} ${value}`);
          const { cfgScale = SAMPLING.cfgScale.default } = { ...aim.sampling, ...way };
          const sampling = differs.join(', ') || 'defaults';
          return { rows: [{ sampling, guidance: cfgScale, ...(await scored(m, images)) }], samples: images.slice(0, SHOWN) };
        },
      };
    }),
  plot(rows) {
    const alone = rows.filter(({ sampling }) => sampling === 'defaults' || /^cfgScale [\d.]+$/.test(String(sampling)));
    const ordered = alone.toSorted((a, b) => Number(a.guidance) - Number(b.guidance));
    const line: Series = { name: 'FD', points: points(ordered, 'guidance', 'FD'), kind: 'marked' };
    return plotLoss('Guidance', DISTANCE, [line], 'cfgScale');
  },
};

export const EXPERIMENTS: readonly Experiment[] = [scaling, groups, ablation, speed, guidance];

/** A curve for each value of the column `by`. */
function series(rows: readonly Row[], by: string, x: string, y: string): Series[] {
  const names = [...new Set(rows.map((row) => String(row[by])))];
  return names.map((name) => ({
    name,
    points: points(
      rows.filter((row) => String(row[by]) === name),
      x,
      y,
    ),
    kind: 'marked',
  }));
}

/** Pearson's coefficient of correlation. */
export function correlation(pairs: readonly (readonly [number, number])[]): number {
  const mean = (k: 0 | 1) => pairs.reduce((sum, pair) => sum + pair[k], 0) / pairs.length;
  const [x0, y0] = [mean(0), mean(1)];
  const moment = (of: (x: number, y: number) => number) => pairs.reduce((sum, [x, y]) => sum + of(x - x0, y - y0), 0);
  return moment((x, y) => x * y) / Math.sqrt(moment((x) => x * x) * moment((_, y) => y * y));
}
