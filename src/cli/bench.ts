/** `aim bench`: generation speed, and where the time goes. */
import { cpus } from 'node:os';
import { AiM } from '../aim.js';
import type { WasmBackend } from '../backend/wasm.js';
import type { WebGpuBackend } from '../backend/webgpu.js';
import { OptionError } from '../errors.js';
import { PRESETS } from '../model/config.js';
import { loadModel } from './model.js';
import { COMMON, commonOptions, type Flags, helpText, number, parse } from './options.js';

const FLAGS: Flags = {
  preset: {
    type: 'string',
    value: Object.keys(PRESETS).join('|'),
    help: "one of the paper's models with random weights, instead of MODEL",
  },
  batch: { type: 'string', value: 'N', help: 'images per run (default 10)' },
  runs: { type: 'string', value: 'N', help: 'timed runs after one warm-up (default 5)' },
  'cfg-scale': { type: 'string', value: 'W', help: 'classifier-free guidance (default 1.5)' },
  json: { type: 'boolean', help: 'print JSON' },
  ...COMMON,
};

const HELP = helpText('aim bench [MODEL] [options]', 'Times generation; on wasm also tells each op’s share and rate.', FLAGS);

export async function benchCommand(argv: string[], signal: AbortSignal): Promise<number> {
  const { flags, args } = parse('bench', argv, FLAGS);
  if (flags.help) {
    process.stdout.write(HELP);
    return 0;
  }
  const preset = flags.preset as keyof typeof PRESETS | undefined;
  if (preset !== undefined && !(preset in PRESETS))
    throw new OptionError(`--preset is ${JSON.stringify(preset)}; it must be one of ${Object.keys(PRESETS).join(', ')}.`);
  const runs = number(flags, 'runs') ?? 5;
  if (!(Number.isInteger(runs) && runs > 0)) throw new OptionError(`--runs is ${runs}; it must be a positive integer.`);
  const count = number(flags, 'batch') ?? 10;
  const options = { ...commonOptions(flags), signal };
  const begun = performance.now();
  const aim = preset ? await AiM.fromConfig(PRESETS[preset], options) : await loadModel(args[0], options);
  const loadMs = performance.now() - begun;
  try {
    const draw = () => aim.generate({ count, batchSize: count, cfgScale: number(flags, 'cfg-scale') ?? 1.5, signal });
    await draw();
    const times: number[] = [];
    let tokensMs = 0;
    for (let i = 0; i < runs; i++) {
      const start = performance.now();
      await aim.generate({
        count,
        batchSize: count,
        cfgScale: number(flags, 'cfg-scale') ?? 1.5,
        signal,
        onStep({ step, steps }) {
          if (step === steps) tokensMs += performance.now() - start;
        },
      });
      times.push(performance.now() - start);
    }
    times.sort((a, b) => a - b);
    const median = times[times.length >> 1]!;
    const { num_tokens } = aim.config;
    const result: BenchResult = {
      model: preset ?? args[0] ?? 'embedded',
      device: aim.device,
      cpu: cpus()[0]?.model,
      images: count,
      runs,
      loadMs,
      medianMs: median,
      fastestMs: times[0]!,
      slowestMs: times.at(-1)!,
      tokensMs: tokensMs / runs,
      decodeMs: times.reduce((a, b) => a + b, 0) / runs - tokensMs / runs,
      msPerToken: tokensMs / runs / num_tokens,
      ops: aim.backend === 'wasm' ? await profile(aim.be as unknown as WasmBackend, draw) : undefined,
      dispatches: aim.backend === 'webgpu' ? await dispatches(aim.be as unknown as WebGpuBackend, draw) : undefined,
    };
    if (flags.json) process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
    else print(result);
    return 0;
  } finally {
    await aim.dispose();
  }
}

async function profile(be: WasmBackend, draw: () => Promise<unknown>) {
  be.profile = new Map();
  await draw();
  const rows = [...be.profile].map(([op, { ms, calls, flops }]) => ({ op, ms, calls, gflops: flops / ms / 1e6 }));
  be.profile = undefined;
  const total = rows.reduce((sum, r) => sum + r.ms, 0);
  return rows.sort((a, b) => b.ms - a.ms).map((r) => ({ ...r, share: r.ms / total }));
}

async function dispatches(be: WebGpuBackend, draw: () => Promise<unknown>) {
  const before = be.dispatches;
  await draw();
  return be.dispatches - before;
}

interface BenchResult {
  model: string;
  device: string;
  cpu: string | undefined;
  images: number;
  runs: number;
  loadMs: number;
  medianMs: number;
  fastestMs: number;
  slowestMs: number;
  tokensMs: number;
  decodeMs: number;
  msPerToken: number;
  ops: Awaited<ReturnType<typeof profile>> | undefined;
  dispatches: number | undefined;
}

function print(r: BenchResult): void {
  const ms = (v: number) => `${v.toFixed(1)} ms`;
  const out = [
    `model    ${r.model}`,
    `device   ${r.device}${r.cpu ? ` · ${r.cpu}` : ''}`,
    `loading  ${ms(r.loadMs)}`,
    `${r.images} images, guidance on: median ${ms(r.medianMs)} (${ms(r.fastestMs)} to ${ms(r.slowestMs)}, ${r.runs} runs), ${((r.images * 1000) / r.medianMs).toPrecision(3)} images/s`,
    `tokens   ${ms(r.tokensMs)} (${r.msPerToken.toFixed(3)} ms per position)`,
    `decode   ${ms(r.decodeMs)}`,
  ];
  if (r.dispatches) out.push(`dispatches ${r.dispatches} a run`);
  if (r.ops) {
    out.push('', `${'op'.padEnd(28)} ${'share'.padStart(7)} ${'ms'.padStart(9)} ${'calls'.padStart(7)} ${'GFLOP/s'.padStart(8)}`);
    for (const o of r.ops) {
      const rate = o.gflops ? o.gflops.toFixed(1) : '';
      out.push(
        `${o.op.padEnd(28)} ${(o.share * 100).toFixed(1).padStart(6)}% ${o.ms.toFixed(1).padStart(9)} ${String(o.calls).padStart(7)} ${rate.padStart(8)}`,
      );
    }
  }
  process.stdout.write(`${out.join('\n')}\n`);
}
