/** Calls of the AiM in a worker. */
import { AiM, type EncodeInput, type GenerateOptions, type StepInfo } from '../aim.js';
import type { CheckpointSource } from '../checkpoint/source.js';
import { DisposedError } from '../core/errors.js';
import { modelFiles } from '../model/save.js';
import { fileOf, isSent, type SentFile } from './files.js';
import { type Calls, type ModelCalls, plainImage } from './messages.js';
import type { Call, Handlers } from './serve.js';

let aim: AiM | undefined;

/** The model of this worker. */
export function live(): AiM {
  if (!aim) throw new DisposedError('this AiM');
  return aim;
}

function loaded(model: AiM): ReturnType<Calls['fromPretrained']> {
  aim = model;
  const { config, classes, sampling, ignored, backend, device, parameters, tensors } = model;
  return { config, classes, sampling, ignored, backend, device, parameters, tensors };
}

/** The options of `generate` with the listeners of the page. */
function drawing(call: Call, options: object): GenerateOptions {
  const onStep = async (step: StepInfo) => {
    // The page rejects the call with the callback's own error. This error only ends the drawing.
    if (!(await call.step(step))) throw new Error('onStep threw');
  };
  return { ...options, signal: call.signal, ...(call.listens && { onStep }) };
}

/** Hands files to the page piece by piece. A piece is a copy, because its buffer is transferred. */
export async function handFiles(
  call: Call,
  files: Iterable<{ name: string; data: Uint8Array | AsyncIterable<Uint8Array> }>,
): Promise<void> {
  for (const { name, data } of files)
    for await (const piece of data instanceof Uint8Array ? [data] : data) {
      const proceed = await call.hand({ name, data: Uint8Array.from(piece) });
      call.signal.throwIfAborted();
      if (!proceed) return;
    }
}

/** A source as it arrives from the page. */
const received = (source: CheckpointSource | SentFile[]): CheckpointSource =>
  Array.isArray(source) ? source.map((file) => (isSent(file) ? fileOf(file) : file)) : (source as CheckpointSource);

export const modelCalls: Omit<Handlers<keyof ModelCalls>, 'preview'> = {
  async fromPretrained({ signal, onProgress, onWarning }, source, options) {
    return loaded(await AiM.fromPretrained(received(source), { ...options, signal, onProgress, onWarning }));
  },
  async fromConfig({ signal, onProgress, onWarning }, config, options) {
    return loaded(await AiM.fromConfig(config, { ...options, signal, onProgress, onWarning }));
  },
  loadPart: ({ signal, onProgress, onWarning }, part, source, options) =>
    live().loadPart(part, received(source), { ...options, signal, onProgress, onWarning }),
  async generate(call, options) {
    const drawn = await live().generate(drawing(call, options));
    return { ...drawn, images: drawn.images.map(plainImage) };
  },
  async generateEach(call, options) {
    for await (const { image, ...drawn } of live().generateEach(drawing(call, options)))
      if (!(await call.hand({ image: plainImage(image), ...drawn }))) return;
  },
  logits: ({ signal }, codes, classes, options) => live().logits(codes, classes, { ...options, signal }),
  logLikelihood: ({ signal }, codes, classes, options) => live().logLikelihood(codes, classes, { ...options, signal }),
  save: ({ signal }, folder, options) => live().save(folder, { ...options, signal }),
  toFiles: (call, options) => handFiles(call, modelFiles(live().model, 'toFiles', { ...options, signal: call.signal })),
  tune: ({ signal, onProgress }, options) => live().tune({ ...options, signal, onProgress }),
  encode: (_, images) => live().encode(images as EncodeInput[]),
  async decode({ signal }, codes, options) {
    return (await live().decode(codes, { ...options, signal })).map(plainImage);
  },
  dispose: () => live().dispose(),
};
