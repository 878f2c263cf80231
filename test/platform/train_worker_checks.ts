/** Checks that a Trainer of `aim-js/train-worker` does what that of `aim-js/train` does. */
import type * as Local from '../../src/index.js';
import type * as Train from '../../src/train.js';
import type * as Worker from '../../src/worker/train_client.js';

export interface TrainReport {
  /** What was wrong; empty: nothing. */
  wrong: string[];
  /** Longest time that the caller's thread was blocked while the worker trained, ms. */
  longestGap: number;
}

const CONFIG = {
  d_model: 16,
  n_layer: 1,
  vocab_size: 32,
  num_classes: 3,
  num_tokens: 16,
  ssm_cfg: { layer: 'Mamba2', d_state: 4, headdim: 8 },
  vq_config: { ch: 32, ch_mult: [1, 2], num_res_blocks: 1, z_channels: 32, n_embed: 32, embed_dim: 4 },
} as const;
const OPTIONS = { batchSize: 4, steps: 5, lr: 3e-3, seed: 5, evalEvery: 3, emaDecay: 0.9 };

/** @param images Pictures of 8×8 in two class folders. */
export async function checkTraining(
  local: typeof Local & typeof Train,
  remote: typeof Worker,
  images: File[],
): Promise<TrainReport> {
  const wrong: string[] = [];
  const expect = (ok: boolean, what: string) => void (ok || wrong.push(what));
  const failure = (work: Promise<unknown>): Promise<Error & { code?: string }> =>
    work.then(
      () => new Error('it went through'),
      (error) => error,
    );
  const config = CONFIG as unknown as Local.AimConfigJson;
  const bytesOf = async (files: Iterable<{ name: string; data: Uint8Array | AsyncIterable<Uint8Array> }>) => {
    const out: string[] = [];
    for (const { name, data } of files) {
      let text = name;
      for await (const piece of data instanceof Uint8Array ? [data] : data) text += `,${piece.join()}`;
      out.push(text);
    }
    return out;
  };
  const bytesOfFiles = async (files: File[]) =>
    bytesOf(await Promise.all(files.map(async (f) => ({ name: f.name, data: new Uint8Array(await f.arrayBuffer()) }))));

  const here = await local.AiM.fromConfig(config, { device: 'wasm', seed: 3 });
  const opened = await local.openData(images, { size: 8, holdout: 0.25 });
  if (opened.kind === 'codes') throw new Error('no images');
  const codes = await local.tokenize(here, opened);
  const trainer = new local.Trainer({ model: here, data: codes, ...OPTIONS });
  const figures = ({ step, loss, gradNorm, eval: held }: Train.TrainStep) => JSON.stringify({ step, loss, gradNorm, held });
  const want: string[] = [];
  let averaged = '';
  for await (const step of trainer.run()) {
    want.push(figures(step));
    if (step.step === 3)
      averaged = String(await trainer.withEma(async () => (await here.generate({ count: 2, seed: 7 })).tokens));
  }
  const some = [0, Math.floor(codes.labels.length / 2)].map((i) => codes.codes.slice(i * 16, (i + 1) * 16));
  const rgb = (images: readonly Local.AimImage[]) => images.map((image) => image.toRGB().join()).join();
  const wantSeen = rgb(await here.decode(some));
  const own = { codes: [...Array(4)].map((_, i) => codes.codes.slice(i * 16, (i + 1) * 16)), classes: 1 };
  const wantOwn = await trainer.step(own, { lr: 1e-3 });
  const wantFiles = await bytesOf(local.checkpointFiles(trainer.checkpoint()));
  trainer.dispose();
  await here.dispose();

  const facts = await remote.describeData({ from: images, holdout: 0.25 });
  const { train, eval: held } = opened;
  expect(
    JSON.stringify([facts.kind, facts.classes, facts.images, facts.held]) ===
      JSON.stringify(['folder', train.classes, train.length, held?.length]),
    `the data was described as ${JSON.stringify(facts)}`,
  );

  const aim = await remote.AiM.fromConfig(config, { device: 'wasm', seed: 3 });
  const progress: number[] = [];
  const training = await remote.Trainer.open({
    model: aim,
    data: { from: images, holdout: 0.25 },
    ...OPTIONS,
    onProgress: ({ phase, loaded }) => void (phase === 'tokenize' && progress.push(loaded)),
  });
  expect(progress.at(-1) === images.length, `progress was ${progress} of ${images.length}`);
  expect(training.data.classes.join() === 'cat,dog' && training.data.images === codes.labels.length, 'other data');
  expect(training.options.steps === 5 && training.stepsDone === 0, 'other options');
  const seen = await training.examples(2);
  expect(rgb(seen as unknown as Local.AimImage[]) === wantSeen, 'other examples');
  const got: string[] = [];
  let last = performance.now();
  let longestGap = 0;
  const timer = setInterval(() => {
    longestGap = Math.max(longestGap, performance.now() - last);
    last = performance.now();
  }, 4);
  const take = (step: Train.TrainStep) => got.push(figures(step));
  // Leaving the loop is a pause; another run continues. The device is a step ahead.
  for await (const step of training.run()) {
    take(step);
    if (step.step === 2) break;
  }
  expect(training.stepsDone === 3, `${training.stepsDone} steps are done after the pause, not 3`);
  expect(aim.classes?.join() === 'cat,dog,2', `classes are ${aim.classes}`);
  const abort = new AbortController();
  const why = new Error('enough');
  const stopped = await failure(
    (async () => {
      for await (const step of training.run({ signal: abort.signal })) {
        take(step);
        const drawn = await training.withEma(async () => (await aim.generate({ count: 2, seed: 7 })).tokens);
        expect(String(drawn) === averaged, 'the average draws other images');
        abort.abort(why);
      }
    })(),
  );
  expect(stopped === why, `an aborted run gave ${stopped}`);
  for await (const step of training.run()) take(step);
  clearInterval(timer);
  expect(got.join() === want.join(), `steps were ${got}, expected ${want}`);
  const mine = new Error('mine');
  const thrown = await failure(
    training.withEma(async () => {
      throw mine;
    }),
  );
  expect(thrown === mine, `an error in withEma became ${thrown}`);
  const step = await training.step(own, { lr: 1e-3 });
  expect(JSON.stringify(step) === JSON.stringify(wantOwn), `step gave ${JSON.stringify(step)}`);
  const files = await training.checkpoint();
  expect((await bytesOfFiles(files)).join() === wantFiles.join(), 'another checkpoint');
  expect(((await training.evaluate({ batch: own })).loss ?? 0) > 0, 'no evaluation of a batch');

  const refusals: [() => Promise<unknown>, RegExp][] = [
    [() => training.step({ codes: [], classes: [] }), /^step: the batch has 0 images/],
    [() => training.step({ images: [] } as never), /the batch has no codes/],
    [() => training.step(own, { rate: 1 } as never), /no option "rate"/],
    [() => training.run({ until: -1 }).next(), /^until is -1/],
    [() => training.evaluate({ colour: 1 } as never), /no option "colour"/],
    [() => training.checkpoint({ colour: 1 } as never), /no option "colour"/],
    [() => training.examples(-1), /^count is -1/],
    [() => remote.describeData([] as never), /^describeData: the data is/],
    [() => remote.describeData({ from: images }, { colour: 1 } as never), /no option "colour"/],
    [() => training.resume([5] as never), /one of the files is 5/],
    [() => remote.Trainer.open({ model: {} as never }), /the model must be an AiM of 'aim-js.train-worker'/],
    [() => remote.Trainer.open({ model: aim, data: { from: images }, ...OPTIONS, colour: 1 } as never), /no option "colour"/],
    [() => remote.Trainer.open({ model: aim, data: codes, ...OPTIONS }), /this model has a trainer already/],
    [() => remote.Trainer.open({ model: aim, data: { from: images, augment: 2 }, stage: 'tokenizer' }), /augment is for images/],
  ];
  for (const [work, message] of refusals) {
    const error = await failure(work());
    expect(error instanceof remote.OptionError && message.test(error.message), `expected ${message}: ${error}`);
  }
  await training.dispose();
  expect((await failure(training.step(own))).code === 'ERR_DISPOSED', 'a disposed trainer takes steps');
  await aim.dispose();

  // The files are a model, from which training goes on.
  const again = await remote.AiM.fromPretrained(files, { device: 'wasm' });
  const resumed = await remote.Trainer.open({ model: again, data: { from: images, holdout: 0.25 }, ...OPTIONS, steps: 9 });
  await resumed.resume(files);
  expect(resumed.stepsDone === 6, `resumed at step ${resumed.stepsDone}`);
  await resumed.dispose();
  // The same tokenizer in another model. A trainer of it gives the images themselves.
  const other = await remote.AiM.fromConfig(config, { device: 'wasm', seed: 9 });
  await other.loadPart('vqvae.', files);
  expect(rgb((await other.decode(some)) as unknown as Local.AimImage[]) === wantSeen, 'loadPart: another tokenizer');
  await other.dispose();
  const tokenizing = await remote.Trainer.open({
    model: again,
    data: { from: images },
    stage: 'tokenizer',
    batchSize: 2,
    steps: 1,
  });
  const [first] = await tokenizing.examples(1);
  const [pixels] = [await ((await local.openData(images, { size: 8 })) as typeof opened).train.image(0, { kind: 'eval' })];
  expect(first?.data.join() === pixels.join(), 'the tokenizer is given other images');
  await again.dispose();
  return { wrong, longestGap: Math.round(longestGap) };
}
