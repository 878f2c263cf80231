/**
 * The GPU device is destroyed at random moments of drawing and training (WebGPU, in a process of its own). The results must be those
 * of an undisturbed run, or a DeviceError after which the model works again. Without an adapter the scenario counts only that.
 */
import { fileURLToPath, pathToFileURL } from 'node:url';
import { MODEL, soundRuns } from './commands.mjs';
import { childLines, tools } from './context.mjs';
import { modelHub } from './server.mjs';

/** Devices destroyed in a round. */
const DRAWING = 24;
const TRAINING = 6;

export const lostDevice = {
  name: 'lost-device',
  limit: 1800,
  share: 30,
  async run(context) {
    const { inputs } = await soundRuns((await modelHub(context)).url);
    const own = [
      context.library.gpu,
      `${inputs}/tokenize/codes.safetensors`,
      context.seed,
      context.many(DRAWING),
      Math.round(TRAINING * context.size),
    ];
    const args = [fileURLToPath(import.meta.url), 'child', ...own].map(String);
    for await (const { finding, counted } of childLines(context, args)) {
      if (counted) context.count(counted);
      if (finding) context.finding(finding);
    }
  },
};

/** Loses devices and prints what happened, as lines of JSON. */
async function lose(gpu, codesFile, seed, drawing, training) {
  // It finds the software driver and watches devices, so it comes first.
  const { devices } = await import(gpu);
  const [{ AiM }, { Trainer, readCodes }] = await Promise.all([import('../../dist/aim.js'), import('../../dist/train.js')]);
  const { int, chance, random } = tools(Number(seed));
  const print = (message) => console.log(JSON.stringify(message));
  let aim;
  try {
    aim = await AiM.fromPretrained(MODEL, { device: 'webgpu' });
  } catch (error) {
    if (error.code !== 'ERR_DEVICE') throw error;
    return print({ counted: `no adapter (${error.message.slice(0, 60)})` });
  }
  const codes = await readCodes(codesFile);
  const tasks = { drawing: draw, training: train };

  /** Runs a task undisturbed, then `count` times with losses, and compares. */
  for (const [what, count] of [
    ['drawing', Number(drawing)],
    ['training', Number(training)],
  ]) {
    if (count === 0) continue;
    // The first compiles the kernels.
    await tasks[what]();
    const begun = performance.now();
    const want = await tasks[what]();
    const ms = performance.now() - begun;
    for (let i = 0; i < count; i++) {
      const losses = 1 + (chance(0.3) ? 1 + int(3) : 0);
      const timers = Array.from({ length: losses }, () => setTimeout(() => devices.at(-1).destroy(), random() * ms));
      let result;
      try {
        result = (await tasks[what]()) === want ? 'recovered' : 'wrong';
      } catch (error) {
        result =
          error.code === 'ERR_DEVICE' && /device was lost/.test(error.message) ? 'DeviceError' : (error.stack ?? String(error));
      }
      for (const timer of timers) clearTimeout(timer);
      if (['recovered', 'DeviceError'].includes(result)) print({ counted: `${what} ${result}` });
      else
        print({ finding: `${what} ${i} of the round, ${losses} losses: ${result === 'wrong' ? 'the results differ' : result}` });
      if (result === 'DeviceError' && (await tasks[what]()) !== want)
        print({ finding: `${what} after the error gave other results` });
    }
    if ((await tasks[what]()) !== want) print({ finding: `${what} after all losses gave other results` });
  }
  await aim.dispose();

  async function draw() {
    const { tokens, images } = await aim.generate({ count: 4, batchSize: 2, seed: 5, cfgScale: 2 });
    return JSON.stringify([tokens.map((t) => [...t]), images.map(({ data }) => [...data])]);
  }

  async function train() {
    const model = await AiM.fromPretrained(MODEL, { device: 'webgpu' });
    try {
      const trainer = new Trainer({ model, data: codes, batchSize: 4, steps: 4, evalEvery: 2, evalItems: 4, seed: 5 });
      const steps = [];
      for await (const { loss, gradNorm, eval: held } of trainer.run()) steps.push([loss, gradNorm, held]);
      trainer.dispose();
      return JSON.stringify(steps);
    } finally {
      await model.dispose();
    }
  }
}

if (process.argv[2] === 'child' && import.meta.url === pathToFileURL(process.argv[1]).href)
  void lose(...process.argv.slice(3)).then(() => process.exit());
