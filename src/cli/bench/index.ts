/** `aim bench`: how fast, and of what the device can give how much. */
import type { Backend } from '../../backend/backend.js';
import { createBackend } from '../../backend/create.js';
import { noise } from '../../backend/tune.js';
import type { AimConfigJson } from '../../model/config.js';
import { Model } from '../../model/model.js';
import { PRESETS } from '../../model/presets.js';
import { dawnToggles } from '../../platform/runtime.js';
import type { Command, Parsed } from '../command.js';
import { loadModel } from '../model.js';
import { copyBandwidth, gemmCeiling } from './measure.js';
import { ABOUT, type Asked, FLAGS, type Plan, type Preset, plan, readOptions, variants } from './options.js';
import { Report } from './report.js';
import { scaling } from './scaling.js';
import { type Context, decoding, fewRows, generation, type Measured, type Mixer, product, round, training } from './suites.js';

/** The shape that `scaling` varies where there is no GPU: that of models/fashion-mnist. */
const SMALL: AimConfigJson = {
  ...PRESETS['aim-l'],
  d_model: 256,
  n_layer: 8,
  vocab_size: 512,
  num_classes: 10,
  num_tokens: 64,
};

/** AiM-B's in_proj, out_proj and head. */
const STEP = [
  { n: 3352, k: 768 },
  { n: 768, k: 1536 },
  { n: 16384, k: 768 },
];

type Placement = { dtype?: 'f32' | 'f16'; precision?: 'f32' | 'mixed' };

/** A model to be measured. */
interface Subject {
  name: string;
  open(how: Placement): Promise<Model>;
}

export const bench: Command = {
  name: 'bench',
  usage: '[MODEL]',
  summary: 'speed of drawing, decoding, training and matrix products',
  about: ABOUT,
  flags: FLAGS,
  run,
};

async function run(given: Parsed, signal: AbortSignal): Promise<number> {
  const asked = readOptions(given);
  const report = await Report.open(asked.json);
  const probe = await createBackend({ ...asked.device, signal });
  try {
    const p = plan(asked, probe);
    await measure(asked, p, await ceilings(asked, p, probe, report, signal), report);
  } catch (error) {
    await report.close(false);
    throw error;
  } finally {
    probe.dispose();
  }
  await report.close(true);
  return 0;
}

/** The highest rates of the device, measured first. */
async function ceilings(
  { device, runs, profile }: Asked,
  { precisions }: Plan,
  probe: Backend,
  report: Report,
  signal: AbortSignal,
): Promise<Context> {
  const copy = await copyBandwidth(probe, 3, signal);
  const ceilings: Context['ceilings'] = {};
  report.head({
    device: probe.description,
    toggles: dawnToggles(device.dawn).join(' ') || 'default',
    'copy GB/s': Math.round(copy / 1e9),
  });
  for (const precision of precisions) {
    const be = precision === 'f32' ? probe : await createBackend({ ...device, precision, signal });
    try {
      const { size, rate } = await gemmCeiling(be, 3, signal);
      ceilings[precision] = rate;
      report.head({ [`${precision} GEMM ${size}³ TFLOP/s`]: round(rate / 1e12) });
    } finally {
      if (be !== probe) be.dispose();
    }
  }
  return { runs, signal, copy, ceilings, profile };
}

async function measure(asked: Asked, p: Plan, c: Context, report: Report): Promise<void> {
  const { device, model } = asked;
  const { signal } = c;
  const suites: readonly string[] = p.suites;
  const options = { ...device, signal };
  // Values of the right size; true random numbers for hundreds of millions of weights would take longer than the measurement.
  const random = (json: AimConfigJson, how: Placement = {}) =>
    Model.filled(json, { ...options, ...how }, (spec, _, out) => {
      if (out.length < 1e5) spec.init(spec.shape, Math.random, out);
      else out.set(noise(out.length, Math.sqrt((3 * spec.shape[0]!) / out.length)));
    });
  const loaded: Subject = {
    name: model ?? 'emoji',
    open: async (how) => (await loadModel(model, { ...options, ...how })).model,
  };
  const subjects = (name: Preset, mixers: readonly Mixer[]): Subject[] =>
    variants(name, mixers).map((json) => ({ name, open: (how) => random(json, how) }));
  const use = async <R>({ open }: Subject, how: Placement, work: (aim: Model) => Promise<R>): Promise<R> => {
    const aim = await open(how);
    try {
      return await work(aim);
    } finally {
      await aim.dispose();
    }
  };
  const add = async (table: string, { row, profile }: Measured) => report.add(table, row, profile);
  const own = p.loads ? [loaded] : [];

  if (suites.includes('generate')) {
    const drawn = p.presets.flatMap((name) => subjects(name, p.drawn.mixers));
    for (const dtype of p.weights)
      for (const subject of [...own, ...drawn])
        await use(subject, { dtype }, async (aim) => {
          for (const batch of p.drawn.batches)
            for (const sampling of p.drawn.samplings) {
              report.note(`generate ${subject.name} batch ${batch} ${dtype} ${sampling}`);
              await add('Generation of tokens', await generation(aim, subject.name, batch, dtype, sampling, c));
            }
        });
  }
  if (suites.includes('decode')) {
    // The paper's models share one tokenizer.
    const first = p.presets.slice(0, 1).flatMap((name) => subjects(name, ['Mamba2']));
    for (const precision of p.precisions)
      for (const subject of [...own, ...first])
        await use(subject, { precision, ...(precision === 'mixed' && { dtype: 'f16' }) }, async (aim) => {
          for (const batch of p.drawn.batches) {
            report.note(`decode ${subject.name} batch ${batch} ${precision}`);
            await add('Tokenizer decode', await decoding(aim, subject.name, batch, precision, c));
          }
        });
  }
  if (suites.includes('train')) {
    const name = p.presets[0] ?? 'aim-b';
    const trained = model === undefined ? subjects(name, p.trained.mixers) : [loaded];
    for (const precision of p.precisions)
      for (const subject of trained)
        await use(subject, { precision }, async (aim) => {
          for (const batch of p.trained.batches)
            for (const recompute of p.trained.recompute) {
              report.note(`train ${subject.name} batch ${batch} ${precision}, recompute ${recompute}`);
              await add('Training step', await training(aim, subject.name, { batch, precision, recompute }, c));
            }
        });
  }
  if (suites.includes('gemm')) await products(asked, p, c, report);
  if (suites.includes('scaling')) {
    const shapes =
      model === undefined
        ? p.drawn.mixers.map((layer) => ({ ...(p.gpu ? PRESETS['aim-b'] : SMALL), ssm_cfg: { layer } }))
        : [await use(loaded, {}, async ({ config }) => config.json)];
    for (const shape of shapes) {
      report.note('scaling');
      await scaling(random, shape, p.gpu ? 8 : 1, c, add);
    }
  }
}

/** Products of the sizes that training and generation have. */
async function products({ device }: Asked, p: Plan, c: Context, report: Report): Promise<void> {
  const shapes = (p.gpu ? [1024, 2048, 4096] : [256, 512]).map((n) => ({ m: n, n, k: n }));
  if (p.gpu) shapes.push({ m: 8192, n: 3352, k: 768 });
  const rows = p.gpu ? [1, 2, 8, 16, 32, 128] : [1, 2, 20];
  for (const precision of p.precisions) {
    const be = await createBackend({ ...device, precision, signal: c.signal });
    try {
      for (const dtype of p.weights) {
        for (const shape of shapes) {
          report.note(`product ${Object.values(shape).join('×')} ${dtype} ${precision}`);
          await report.add('Matrix × matrix', (await product(be, shape, dtype, precision, c)).row);
        }
        // With few rows the factors are never rounded.
        if (precision !== p.precisions[0]) continue;
        for (const shape of STEP) {
          report.note(`few rows × ${shape.n}×${shape.k} ${dtype}`);
          for await (const { row } of fewRows(be, rows, shape, dtype, c)) await report.add('Few rows × matrix', row);
        }
      }
    } finally {
      be.dispose();
    }
  }
}
