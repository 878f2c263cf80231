/** `aim bench`: how fast, and of what the device can give how much. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { AiM } from '../../aim.js';
import type { Profile } from '../../backend/backend.js';
import { OptionError } from '../../errors.js';
import { type AimConfigJson, PRESETS } from '../../model/config.js';
import { createBackend } from '../../platform/device.js';
import { runtime } from '../../platform/runtime.js';
import { loadModel } from '../model.js';
import { COMMON, commonOptions, type Flags, helpText, number, parse } from '../options.js';
import { copyBandwidth, gemm, noise } from './measure.js';
import { type Context, decoding, generation, product, type Row, scaling, training } from './suites.js';

const SUITES = ['generate', 'decode', 'train', 'gemm', 'scaling'] as const;
type Suite = (typeof SUITES)[number];

/** What `scaling` varies where there is no GPU: the shape of the embedded model. */
const SMALL: AimConfigJson = {
  ...PRESETS['aim-l'],
  d_model: 256,
  n_layer: 8,
  vocab_size: 512,
  num_classes: 10,
  num_tokens: 64,
};

const FLAGS: Flags = {
  suite: { type: 'string', value: 'A,B', help: `of ${SUITES.join(', ')} (default generate; on a GPU all)` },
  preset: {
    type: 'string',
    value: 'A,B',
    help: `the paper's models with random weights: ${Object.keys(PRESETS).join(', ')} (default on a GPU aim-b, aim-l, aim-xl)`,
  },
  batch: { type: 'string', value: 'N,N', help: 'images at once (default 1,8,16; on wasm 10)' },
  weights: { type: 'string', value: 'f32,f16', help: 'how weights lie on a GPU (default both)' },
  precision: { type: 'string', value: 'f32,mixed', help: 'of matrix products in training and gemm (default both)' },
  mixer: { type: 'string', value: 'Mamba1,Mamba2', help: 'mixers to train (default both)' },
  runs: { type: 'string', value: 'N', help: 'timed runs after one warm-up (default 5)' },
  profile: { type: 'boolean', help: 'also each op’s share' },
  json: { type: 'string', value: 'FILE', help: 'write everything as JSON too (- for the terminal, instead of tables)' },
  ...COMMON,
};

const HELP = helpText(
  'aim bench [MODEL] [options]',
  'Times generation, decoding, training and matrix products: medians with the fastest and the slowest run.',
  FLAGS,
);

export async function benchCommand(argv: string[], signal: AbortSignal): Promise<number> {
  const { flags, args } = parse('bench', argv, FLAGS);
  if (flags.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const list = <T extends string>(name: string, allowed: readonly T[], fallback: readonly T[]): readonly T[] => {
    if (flags[name] === undefined) return fallback;
    const values = String(flags[name]).split(',');
    const wrong = values.find((v) => !allowed.includes(v as T));
    if (wrong !== undefined) throw new OptionError(`--${name} is ${JSON.stringify(wrong)}; it must be of ${allowed.join(', ')}.`);
    return values as T[];
  };
  const device = commonOptions(flags);
  const runs = number(flags, 'runs') ?? 5;
  if (!(Number.isInteger(runs) && runs > 0)) throw new OptionError(`--runs is ${runs}; it must be a positive integer.`);

  const probe = await createBackend({ ...device, signal });
  const gpu = probe.name === 'webgpu';
  const suites = list<Suite>('suite', SUITES, gpu ? SUITES : ['generate']);
  const presets = list('preset', Object.keys(PRESETS) as (keyof typeof PRESETS)[], gpu ? ['aim-b', 'aim-l', 'aim-xl'] : []);
  const weights = list('weights', ['f32', 'f16'] as const, gpu ? ['f32', 'f16'] : ['f32']);
  const precisions = list('precision', ['f32', 'mixed'] as const, gpu ? ['f32', 'mixed'] : ['f32']);
  const mixers = list('mixer', ['Mamba1', 'Mamba2'] as const, ['Mamba2', 'Mamba1']);
  const batches = String(flags.batch ?? (gpu ? '1,8,16' : '10'))
    .split(',')
    .map(Number);
  if (batches.some((n) => !(Number.isInteger(n) && n > 0)))
    throw new OptionError(`--batch is ${JSON.stringify(flags.batch)}; it must be positive integers, e.g. 1,8,16.`);

  const size = gpu ? 4096 : 512;
  const copy = await copyBandwidth(probe, 3);
  const peak = (2 * size ** 3 * 1000) / (await gemm(probe, { m: size, n: size, k: size }, 'f32', 3)).median;
  const profiles: Record<string, Profile> | undefined = flags.profile ? {} : undefined;
  const c: Context = { runs, signal, copy, peak, profiles };
  const about = {
    date: new Date().toISOString().slice(0, 10),
    commit: commit(),
    device: probe.description,
    toggles: device.dawn?.join(' ') ?? 'default',
    runtime: `${runtime().name} ${runtime().version}`,
    cpu: cpus()[0]?.model ?? '',
    copyGBs: Math.round(copy / 1e9),
    gemmTFLOPs: Number((peak / 1e12).toPrecision(3)),
  };
  const tables: Record<string, Row[]> = {};
  const note = (text: string) => {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
  };
  const add = (table: string, row: Row | Row[]) => {
    const rows = Array.isArray(row) ? row : [row];
    tables[table] ??= [];
    tables[table].push(...rows);
    // A log keeps what is measured, should the rest be cut off.
    if (!process.stderr.isTTY) for (const r of rows) process.stderr.write(`${table}: ${JSON.stringify(r)}\n`);
  };
  const wants = (s: Suite) => suites.includes(s);
  const withModel = async (make: () => Promise<AiM>, work: (aim: AiM) => Promise<void>) => {
    const aim = await make();
    try {
      await work(aim);
    } finally {
      await aim.dispose();
    }
  };
  // Values of the right size; true random numbers for hundreds of millions of weights would take longer than the measurement.
  const random = (json: AimConfigJson, more: object) =>
    AiM.filled(json, { ...device, ...more, signal }, (spec, _, out) => {
      if (out.length < 1e5) spec.init(spec.shape, Math.random, out);
      else out.set(noise(out.length, Math.sqrt((3 * spec.shape[0]!) / out.length)));
    });

  try {
    const drawing = async (name: string, dtype: 'f32' | 'f16', make: () => Promise<AiM>) =>
      withModel(make, async (aim) => {
        for (const batch of batches) {
          note(`generate ${name} batch ${batch} ${dtype}`);
          add('Generation, guided tokens', await generation(aim, name, batch, dtype, c));
        }
      });
    if (wants('generate')) {
      for (const dtype of weights) {
        if (args[0] || flags.preset === undefined)
          await drawing(args[0] ?? 'fashion-mnist', dtype, () => loadModel(args[0], { ...device, dtype, signal }));
        for (const name of presets) await drawing(name, dtype, () => random(PRESETS[name], { dtype }));
      }
    }
    if (wants('decode')) {
      const embedded = args[0] || flags.preset === undefined ? [args[0] ?? 'fashion-mnist'] : [];
      // The paper's models share one tokenizer.
      for (const precision of precisions)
        for (const name of [...embedded, ...presets.slice(0, 1)]) {
          const make = () =>
            name in PRESETS
              ? random(PRESETS[name as keyof typeof PRESETS], { precision, dtype: precision === 'mixed' ? 'f16' : 'f32' })
              : loadModel(args[0], { ...device, precision, signal });
          await withModel(make, async (aim) => {
            for (const batch of batches) {
              note(`decode ${name} batch ${batch} ${precision}`);
              add('Tokenizer decode', await decoding(aim, name, batch, precision, c));
            }
          });
        }
    }
    if (wants('train')) {
      const name = presets[0] ?? 'aim-b';
      for (const precision of precisions)
        for (const layer of mixers) {
          note(`train ${name} ${layer} ${precision}`);
          const json = { ...PRESETS[name], ssm_cfg: { layer } };
          await withModel(
            () => random(json, { precision }),
            async (aim) => add('Training step', await training(aim, name, 32, precision, c)),
          );
        }
    }
    if (wants('gemm')) {
      const square = gpu ? [1024, 2048, 4096] : [256, 512];
      for (const precision of precisions) {
        const be = await createBackend({ ...device, precision, signal });
        try {
          for (const dtype of weights) {
            for (const n of square) add('Matrix × matrix', await product(be, { m: n, n, k: n }, dtype, precision, c));
            if (gpu) add('Matrix × matrix', await product(be, { m: 8192, n: 3352, k: 768 }, dtype, precision, c));
            if (precision === precisions[0])
              for (const m of [1, 2, 8, 16, 32, 128])
                for (const [n, k] of [
                  [3352, 768],
                  [768, 1536],
                  [16384, 768],
                ] as const)
                  add('Few rows × matrix', await product(be, { m, n, k }, dtype, precision, c));
          }
        } finally {
          be.dispose();
        }
      }
    }
    if (wants('scaling')) {
      note('scaling');
      const few = { ...c, runs: Math.min(runs, 3) };
      await scaling(
        (json) => random(json, {}),
        gpu ? PRESETS['aim-b'] : SMALL,
        few,
        (row) => add('Scaling', row),
      );
    }
  } finally {
    note('');
    probe.dispose();
  }

  const shares = profiles && Object.fromEntries(Object.entries(profiles).map(([name, p]) => [name, shareRows(p)]));
  const json = `${JSON.stringify({ about, tables, ...(shares && { profiles: shares }) }, null, 1)}\n`;
  if (flags.json === '-') process.stdout.write(json);
  else {
    const lines = Object.entries(about).map(([key, value]) => `${key.padEnd(10)} ${value}`);
    for (const [name, rows] of Object.entries({ ...tables, ...shares })) lines.push('', name, ...table(rows));
    process.stdout.write(`${lines.join('\n')}\n`);
    if (flags.json !== undefined) writeFileSync(flags.json as string, json);
  }
  return 0;
}

/** Of the working copy this runs in, or the version of the package. */
function commit(): string {
  const git = spawnSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: import.meta.dirname, encoding: 'utf8' });
  return process.env.AIM_COMMIT ?? (git.status === 0 ? git.stdout.trim() : 'unknown');
}

function shareRows(profile: Profile): Row[] {
  const total = [...profile.values()].reduce((sum, r) => sum + r.ms, 0);
  return [...profile]
    .sort(([, a], [, b]) => b.ms - a.ms)
    .map(([op, r]) => ({
      op,
      share: `${((r.ms / total) * 100).toFixed(1)}%`,
      ms: Number(r.ms.toPrecision(4)),
      calls: r.calls,
      'µs/call': Number(((r.ms / r.calls) * 1000).toPrecision(3)),
      'GFLOP/s': r.flops ? Math.round(r.flops / r.ms / 1e6) : '',
      'GB/s': Math.round(r.bytes / r.ms / 1e6),
    }));
}

/** Rows as aligned columns: text to the left, numbers to the right. */
function table(rows: Row[]): string[] {
  const keys = [...new Set(rows.flatMap((r) => Object.keys(r)))];
  const cell = (r: Row, key: string) => String(r[key] ?? '');
  const widths = keys.map((key) => Math.max(key.length, ...rows.map((r) => cell(r, key).length)));
  const line = (values: string[], rightwards: boolean[]) =>
    values
      .map((v, i) => (rightwards[i] ? v.padStart(widths[i]!) : v.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd();
  const numeric = keys.map((key) => rows.some((r) => typeof r[key] === 'number'));
  return [
    line(keys, numeric),
    ...rows.map((r) =>
      line(
        keys.map((key) => cell(r, key)),
        numeric,
      ),
    ),
  ];
}
