/**
 * Checks for every runtime: golden values, drawing, encoding and decoding, training, disposing. They use only the given library and
 * the web platform, so that Node, Deno and a page can run them.
 */
import type * as Library from '../../src/index.js';
import type * as Training from '../../src/train.js';

export interface Place {
  device: 'wasm' | 'webgpu';
  /** Path or URL of test/fixtures. */
  fixtures: string;
}

export interface RuntimeReport {
  /** Description of the device. */
  device: string;
  ms: number;
  /** Each check with what was wrong (empty: nothing). */
  checks: { name: string; ms: number; wrong: string }[];
  /** Tokens drawn with fixed seeds, images of all models. */
  tokens: number[][];
  /** Losses of a few training steps on fixed data, nats per token. */
  losses: number[];
}

const MODELS = ['mamba2-adaln', 'mamba1-adaln-group'];
const IMAGES = 3;

export async function checkRuntime(
  { AiM, openSource, tokenize, Trainer, verify }: typeof Library & typeof Training,
  { device, fixtures }: Place,
): Promise<RuntimeReport> {
  const start = performance.now();
  const report: RuntimeReport = { device: '', ms: 0, checks: [], tokens: [], losses: [] };
  const check = async (name: string, work: () => Promise<string>) => {
    const from = performance.now();
    const wrong = await work().catch((error: Error) => error.stack ?? String(error));
    report.checks.push({ name, ms: Math.round(performance.now() - from), wrong });
  };
  for (const model of MODELS) {
    const folder = `${fixtures}/${model}`;
    const aim = await AiM.fromPretrained(folder, { device });
    report.device = aim.device;

    await check(`${model}: golden values`, async () => {
      const source = await openSource(`${folder}/expected.safetensors`);
      const { rows } = await verify(aim, source);
      await source.close();
      if (rows.length < 3) return `only ${rows.length} tensors were checked`;
      return rows
        .filter((r) => !r.ok)
        .map((r) => `${r.name}: ${r.maxRel} > ${r.allowed}`)
        .join(', ');
    });
    // The rest does not depend on the kind of layer, and a software GPU is slow.
    if (model === MODELS[0]) await drawing(aim);

    await check(`${model}: disposing`, async () => {
      await aim.dispose();
      await aim.dispose();
      const after = await aim.generate().catch((error) => error);
      return after.code === 'ERR_DISPOSED' ? '' : `generate() after dispose() gave ${after}`;
    });
  }
  report.ms = Math.round(performance.now() - start);
  return report;

  async function drawing(aim: Library.AiM): Promise<void> {
    // Every call has the same batch size, so that shaders are compiled once.
    const options = { count: IMAGES, seed: 2024, cfgScale: 2, topK: 40, topP: 0.95 };
    let drawn: Library.Generated;
    let codes: Training.Codes;
    const lose = () => (aim as unknown as { model: { be: { device: GPUDevice } } }).model.be.device.destroy();

    await check('drawing', async () => {
      let previews = 0;
      drawn = await aim.generate({
        ...options,
        async onStep({ step, steps, preview }) {
          if (step === steps / 2) previews += (await preview()).length;
        },
      });
      report.tokens = drawn.tokens.map((t) => [...t]);
      const png = await drawn.images[0]!.toPNG();
      if (String.fromCharCode(...png.subarray(1, 4)) !== 'PNG') return 'toPNG() gave no PNG';
      return previews === IMAGES ? '' : `${previews} previews of ${IMAGES} images`;
    });

    await check('encoding and decoding', async () => {
      const images = drawn.images.slice(0, 2);
      const decoded = await aim.decode(drawn.tokens.slice(0, 2));
      const same = decoded.every((image, i) => image.data.every((v, j) => v === images[i]!.data[j]));
      if (!same) return 'decode() of the tokens drawn gives other images';
      const codes = await aim.encode(images);
      const bytes = images.map((image) => ({ width: image.width, height: image.height, data: image.toRGBA() }));
      const fromBytes = await aim.encode(bytes);
      if (codes.some((c) => c.length !== aim.config.num_tokens)) return `encode() gave ${codes.map((c) => c.length)} codes`;
      const equal = codes.flatMap((c, i) => [...c].map((v, j) => v === fromBytes[i]![j])).filter(Boolean).length;
      const all = codes.length * aim.config.num_tokens;
      return equal > all * 0.8 ? '' : `${equal} of ${all} codes are the same from floats and bytes`;
    });

    await check('abort', async () => {
      const abort = new AbortController();
      const reason = new Error('enough');
      const stopped = await aim
        .generate({ ...options, signal: abort.signal, onStep: () => abort.abort(reason) })
        .catch((error) => error);
      return stopped === reason ? '' : `an aborted generate() gave ${stopped}`;
    });

    if (device === 'webgpu')
      await check('a lost device', async () => {
        const steps: number[] = [];
        const onStep = ({ step }: Library.StepInfo) => void (steps.push(step) === 5 && lose());
        const { tokens } = await aim.generate({ ...options, onStep });
        if (aim.model.recoveries !== 1) return `${aim.model.recoveries} devices were replaced`;
        if (String(tokens) !== String(drawn.tokens)) return 'the tokens are others';
        return steps.every((step, i) => step === i + 1) ? '' : `the steps were ${steps}`;
      });

    await check('training', async () => {
      const pixels = (i: number) => drawn.images[i]!.data;
      const images = {
        classes: ['any'],
        length: IMAGES,
        size: aim.config.image_size,
        augments: false,
        skipped: [],
        label: () => 0,
        tryImage: async (i: number) => pixels(i),
        image: async (i: number) => pixels(i),
      };
      const drawnCodes = await tokenize(aim, { train: images, eval: undefined });
      // Near ties may resolve differently on other devices, but the losses agree.
      codes = { ...drawnCodes, codes: drawnCodes.codes.map((_, i) => (i * 7) % aim.config.vocab_size) };
      report.losses = await train(() => {});
      const { losses } = report;
      return losses.at(-1)! < losses[0]! - 0.1 ? '' : `the loss went ${losses.map((l) => l.toFixed(3)).join(' ')}`;
    });

    if (device === 'webgpu')
      await check('a lost device in training', async () => {
        await aim.loadPart('mamba.', `${fixtures}/${MODELS[0]}`);
        const before = aim.model.recoveries;
        const losses = await train((step, trainer) => {
          if (step === 3) return trainer.keep();
          if (step === 5) lose();
        });
        if (aim.model.recoveries - before !== 1) return `${aim.model.recoveries - before} devices were replaced`;
        return String(losses) === String(report.losses) ? '' : `the losses were ${losses}, undisturbed ${report.losses}`;
      });

    /** The losses of eight steps. */
    async function train(after: (step: number, trainer: Training.Trainer) => unknown): Promise<number[]> {
      const trainer = new Trainer({ model: aim, data: codes, steps: 8, batchSize: IMAGES, lr: 1e-3, labelDropout: 0 });
      const losses: number[] = [];
      for await (const { step, loss } of trainer.run()) {
        losses.push(loss);
        await after(step, trainer);
      }
      trainer.dispose();
      return losses;
    }
  }
}
