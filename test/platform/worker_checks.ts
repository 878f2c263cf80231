/** Checks that `aim-js/worker` offers the calls of `aim-js` with the same results, errors and listeners. */
import type * as Local from '../../src/index.js';
import type * as Worker from '../../src/worker/client.js';
import type { Place } from './runtime_checks.js';

export interface WorkerReport {
  /** What was wrong; empty: nothing. */
  wrong: string[];
  /** Longest time that the caller's thread was blocked while the worker generated, ms. */
  longestGap: number;
}

export async function checkWorker(
  local: typeof Local,
  remote: typeof Worker,
  { device, fixtures }: Place,
  options: Worker.WorkerLoadOptions = {},
): Promise<WorkerReport> {
  const wrong: string[] = [];
  const expect = (ok: boolean, what: string) => void (ok || wrong.push(what));
  const folder = `${fixtures}/mamba2-adaln`;
  const drawing = { count: 3, seed: 11, cfgScale: 2 };
  const failure = (work: Promise<unknown>): Promise<Error & { code?: string }> =>
    work.then(
      () => new Error('it went through'),
      (error) => error,
    );

  const here = await local.AiM.fromPretrained(folder, { device });
  const want = await here.generate(drawing);
  const wantCodes = await here.encode(want.images);
  const more: Local.GenerateOptions = {
    classes: [{ from: 1, to: 4, at: 0.5 }, 2],
    seed: [{ from: 3, to: 8, at: 0.25 }],
    from: [
      { image: want.images[0]!, rows: 1 },
      { codes: wantCodes[1]!, tokens: 5 },
      { image: Uint8Array.from(atob(PIXEL), (c) => c.charCodeAt(0)), rows: 2 },
    ],
  };
  const wantMore = (await here.generate(more)).tokens.join('\n');
  const factsOf = ({ config, classes, sampling, parameters, ignored, tensors }: Local.AiM) =>
    JSON.stringify({ config, classes, sampling, parameters, ignored, tensors });
  const facts = factsOf(here);
  /** What is to be refused, and how: the message of `aim-js`, or where it takes what no worker can, a message of its own. */
  const odd: [what: string, call: (aim: Local.AiM) => Promise<unknown>, own?: RegExp][] = [];
  const numbers: unknown[] = [Number.NaN, Infinity, 1e39, 2 ** 53, 1.5, -1, '5', null, true, [], 1n];
  for (const name of ['topK', 'count', 'seed', 'batchSize'])
    for (const value of numbers) odd.push([`generate ${name}`, (aim) => aim.generate({ [name]: value })]);
  for (const name of ['temperature', 'topP', 'cfgScale'])
    for (const value of numbers.filter((v) => v !== 1.5))
      odd.push([`generate ${name}`, (aim) => aim.generate({ [name]: value })]);
  for (const options of [null, 5, 'x', [], { signal: {} }, { onProgress: 3 }, { colour: 1 }] as object[]) {
    odd.push(['generate', (aim) => aim.generate(options)]);
    odd.push(['tune', (aim) => aim.tune(options)]);
    odd.push(['decode', (aim) => aim.decode([], options)]);
  }
  odd.push(['onStep', (aim) => aim.generate({ onStep: 3 as never })]);
  for (const classes of [10, -1, 1.5, 'none', null, Number.NaN, {}, ''])
    odd.push(['class', (aim) => aim.generate({ classes: [classes as number] })]);
  for (const images of [
    null,
    5,
    {},
    [null],
    [{}],
    [5],
    [{ width: 8, height: 8, data: [1] }],
    [{ width: 8, height: 8, data: new Uint8Array(3) }],
  ])
    odd.push(['encode', (aim) => aim.encode(images as never)]);
  for (const from of [5, {}, [], { codes: [1e9], tokens: 1 }, { image: want.images[0], rows: 9 }])
    odd.push(['from', (aim) => aim.generate({ from: from as never })]);
  const data = new Float32Array(3 * 64).fill(Number.NaN);
  odd.push(['encode NaN', (aim) => aim.encode([{ width: 8, height: 8, data } as never])]);
  for (const codes of [null, 5, {}, [null], [{}], [[]], [[1, 2]], [[1.5]], [[1e9]], [[-1]], [['5']], [new BigUint64Array(1)]])
    odd.push(['decode', (aim) => aim.decode(codes as never)]);
  for (const [name, value] of Object.entries<unknown>({ classes: () => 1, topK: Symbol('x'), temperature: () => 1 }))
    odd.push([`generate ${name}`, (aim) => aim.generate({ [name]: value as never }), /^generate: .*cannot go to a worker/]);
  const known = want.tokens;
  for (const codes of [null, 5, [[1]], [[...known[0]!.slice(1), 1e6]]])
    for (const call of ['logits', 'logLikelihood'] as const) odd.push([call, (aim) => aim[call](codes as never, 0)]);
  for (const classes of [10, [1], 'none', {}])
    for (const call of ['logits', 'logLikelihood'] as const) odd.push([call, (aim) => aim[call](known, classes as never)]);
  for (const options of [null, 5, [], { signal: 3 }, { colour: 1 }, { dtype: 'f8' }] as never[]) {
    odd.push(['logits', (aim) => aim.logits(known, 0, options)]);
    odd.push(['toFiles', (aim) => aim.toFiles(options)]);
    odd.push(['generateEach', (aim) => aim.generateEach(options).next()]);
  }
  odd.push(['generateEach', (aim) => aim.generateEach({ count: 0 }).next()]);
  const messages: Error[] = [];
  for (const [, call] of odd) messages.push(await failure(call(here)));
  expect((await here.tune()).length === 0, 'tune found launches on WASM');
  const wantLogits = await here.logits(known, [0, 1, null]);
  const wantLikelihood = await here.logLikelihood(known, 2);
  const bytesOf = async (files: File[]) =>
    Promise.all(files.map(async (file) => `${file.name} ${new Uint8Array(await file.arrayBuffer()).join()}`));
  const wantFiles = (await bytesOf(await here.toFiles({ dtype: 'f16' }))).join('\n');
  await here.dispose();

  let progress = 0;
  const aim = await remote.AiM.fromPretrained(folder, { device, onProgress: ({ loaded }) => (progress = loaded), ...options });
  expect(progress > 0, 'no progress was reported');
  expect(aim.backend === device && aim.device.includes(device), `device is ${aim.device}`);
  expect(factsOf(aim as unknown as Local.AiM) === facts, 'other facts of the model');

  let previews = 0;
  const steps: number[] = [];
  const beat = heartbeat();
  const got = await aim.generate({
    ...drawing,
    async onStep({ step, preview }) {
      steps.push(step);
      if (step === 5) previews = (await preview()).filter((image) => image instanceof remote.AimImage).length;
    },
  });
  const longestGap = beat.stop();
  expect(steps.join() === Array.from({ length: 16 }, (_, i) => i + 1).join(), `steps were ${steps}`);
  expect(previews === 3, `${previews} previews of 3 images`);
  expect(String(got.tokens) === String(want.tokens), 'other tokens than without a worker');
  expect((await aim.generate(more)).tokens.join('\n') === wantMore, 'other tokens from pictures, or between classes and seeds');
  expect(String(got.images.map((i) => i.toRGB())) === String(want.images.map((i) => i.toRGB())), 'other images');
  expect(got.images[2]!.seed === 13 && got.labels.join() === want.labels.join(), 'seeds or labels are wrong');

  expect(
    String((await aim.decode(got.tokens)).map((i) => i.toRGB())) === String(got.images.map((i) => i.toRGB())),
    'decode differs',
  );
  expect(String(await aim.encode(got.images)) === String(wantCodes), 'encode differs');
  expect(got.images[0]!.data.length > 0, 'encode took the image away');
  const { width, height } = got.images[0]!;
  expect((await aim.encode([{ width, height, data: got.images[0]!.toRGBA() }]))[0]!.length === 16, 'encode of bytes differs');

  for (const [i, [what, call, own]] of odd.entries()) {
    const [a, b] = [messages[i]!, await failure(call(aim as unknown as Local.AiM))];
    // Only the phrase that ends a message about a listener differs.
    const start = ({ message }: Error) => message.replace(/ \([^()]*\)\.$/, '');
    const same = own ? own.test(b.message) : start(a) === start(b);
    expect(
      a instanceof local.OptionError && b instanceof remote.OptionError && same,
      `${what}: aim-js says ${a}, aim-js/worker ${b}`,
    );
  }
  const logits = await aim.logits(known, [0, 1, null]);
  expect(logits.length === 3 && logits.every((one, i) => String(one) === String(wantLogits[i])), 'logits differ');
  expect(String(await aim.logLikelihood(known, 2)) === String(wantLikelihood), 'logLikelihood differs');
  expect(known[0]!.length === 16, 'logits took the codes away');
  expect((await bytesOf(await aim.toFiles({ dtype: 'f16' }))).join('\n') === wantFiles, 'toFiles differs');
  const drawn: string[] = [];
  const seen: number[] = [];
  for await (const { image, tokens, label, seed, index } of aim.generateEach({
    ...drawing,
    batchSize: 2,
    onStep: ({ step, first }) => void (step === 16 && seen.push(first)),
  })) {
    drawn.push(String([index, label, seed, tokens, image.toRGB()]));
    // The second batch is not drawn before its first image is asked for.
    expect(seen.join() === (index < 2 ? '0' : '0,2'), `batches ${seen} were drawn at image ${index}`);
    expect(image instanceof remote.AimImage, 'generateEach gives other images');
  }
  const wantDrawn = want.images.map((image, i) => String([i, want.labels[i], want.seeds[i], want.tokens[i], image.toRGB()]));
  expect(drawn.join('\n') === wantDrawn.join('\n'), 'generateEach differs from generate');
  for await (const { index } of aim.generateEach({ count: 1000, batchSize: 1 })) if (index === 1) break;
  const stop = new AbortController();
  const why = new Error('enough');
  const aborted = await failure(
    (async () => {
      for await (const { index } of aim.generateEach({ count: 1000, batchSize: 1, signal: stop.signal }))
        if (index === 1) stop.abort(why);
    })(),
  );
  expect(aborted === why, `an aborted generateEach gave ${aborted}`);
  expect((await failure(aim.toFiles({ signal: AbortSignal.abort(why) }))) === why, 'an aborted toFiles');
  expect((await failure(aim.logits(known, 0, { signal: AbortSignal.abort(why) }))) === why, 'aborted logits');
  const unsaved = await failure(aim.save('/dev/null/none'));
  expect(/^ERR_(IO|OPTION)$/.test(unsaved.code ?? ''), `save into nowhere gave ${unsaved}`);
  expect((await aim.tune()).length === 0, 'tune in a worker found launches on WASM');
  const loads: [options: object, message: RegExp][] = [
    [null as unknown as object, /^fromPretrained: the options are null/],
    [{ onProgress: 3 }, /^onProgress is 3/],
    [{ threads: 1.5 }, /^threads is 1.5/],
    [{ colour: 3 }, /no option "colour"/],
    [{ workerUrl: 5 }, /^workerUrl is 5/],
    [{ wasmUrl: 5 }, /^wasmUrl is 5/],
    [{ device: () => 1 }, /cannot go to a worker/],
    [{ device: {} }, /GPUDevice cannot go to a worker/],
    [{ device: null }, /^device is null/],
  ];
  for (const [given, message] of loads) {
    const error = await failure(remote.AiM.fromPretrained(folder, given && { ...options, ...given }));
    expect(
      error instanceof remote.OptionError && message.test(error.message),
      `loading with ${Object.keys(given ?? {})}: ${error}`,
    );
  }
  const nowhere = await failure(remote.AiM.fromPretrained(folder, { workerUrl: 'http://[' }));
  expect(/^ERR_(DEVICE|OPTION)$/.test(nowhere.code ?? ''), `a wrong workerUrl gave ${nowhere}`);

  const refused = await failure(aim.generate({ topP: 7 }));
  expect(
    refused instanceof remote.OptionError && refused.code === 'ERR_OPTION' && /topP is 7/.test(refused.message),
    `${refused}`,
  );
  const mine = new Error('mine');
  const thrown = await failure(
    aim.generate({
      onStep() {
        throw mine;
      },
    }),
  );
  expect(thrown === mine, `a listener's error became ${thrown}`);
  const abort = new AbortController();
  expect(
    (await failure(aim.generate({ signal: abort.signal, onStep: () => abort.abort(mine) }))) === mine,
    'abort lost its reason',
  );
  expect((await failure(aim.generate({ signal: AbortSignal.abort(mine) }))) === mine, 'an aborted signal was not seen');
  expect(String((await aim.generate(drawing)).tokens) === String(want.tokens), 'other tokens after an abort');

  const missing = await failure(remote.AiM.fromPretrained(`${fixtures}/none`, { device, ...options }));
  expect(missing instanceof remote.IoError, `a missing folder gave ${missing}`);
  const running = failure(aim.generate({ ...drawing, count: 1000 }));
  await aim.dispose();
  await aim.dispose();
  const stopped = await running;
  expect(stopped.code === 'ERR_DISPOSED', `a call running while its model was disposed gave ${stopped}`);
  expect((await failure(aim.generate())).code === 'ERR_DISPOSED', 'no ERR_DISPOSED after dispose()');

  const fresh = await remote.AiM.fromConfig(aim.config.json, { device, seed: 3, ...options });
  expect((await fresh.generate({ count: 1 })).images.length === 1, 'fromConfig does not draw');
  await fresh.dispose();
  return { wrong, longestGap };
}

/** Measures the longest pause between two turns of this thread. */
function heartbeat(): { stop(): number } {
  let last = performance.now();
  let longest = 0;
  const timer = setInterval(() => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
  }, 4);
  return {
    stop() {
      clearInterval(timer);
      return Math.round(longest);
    },
  };
}
/** A PNG file of one pixel. */
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
