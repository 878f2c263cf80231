/** The script inside the worker. It holds one AiM and receives its calls as messages. */
import { AiM } from '../aim.js';
import { DisposedError } from '../core/errors.js';
import { AimImage } from '../io/image.js';
import { runtime } from '../platform/runtime.js';
import { parentOf } from '../platform/thread.js';
import { type FromWorker, plainError, plainImage, type Request, type ToWorker } from './messages.js';

/** A call that is running. */
interface Running {
  abort: AbortController;
  /** Makes the preview of the latest step. */
  preview?: () => Promise<AimImage[]>;
  /** Called when the callback of the latest step has returned. True continues drawing, false ends it. */
  seen?: (proceed: boolean) => void;
}

const running = new Map<number, Running>();
let port: Awaited<ReturnType<typeof parentOf>>;
let model: AiM | undefined;

async function listen(): Promise<void> {
  port = await parentOf(runtime().name === 'node');
  port.onMessage(receive);
}

function receive(message: ToWorker): void {
  const call = running.get(message.id);
  if ('abort' in message) call?.abort.abort();
  else if ('seen' in message) call?.seen?.(message.seen);
  else void answer(message);
}

async function answer(request: Request): Promise<void> {
  const { id } = request;
  const call: Running = { abort: new AbortController() };
  running.set(id, call);
  try {
    const result = await perform(request, call);
    send({ id, result }, buffers(result));
  } catch (error) {
    send({ id, error: plainError(error) });
  } finally {
    running.delete(id);
  }
}

async function perform(request: Request, call: Running) {
  const { id } = request;
  const { signal } = call.abort;
  const load = {
    signal,
    onWarning: (warning: string) => send({ id, warning }),
    onProgress: request.listens ? (progress: NonNullable<unknown>) => send({ id, progress } as FromWorker) : undefined,
  };
  switch (request.call) {
    case 'fromPretrained':
      return facts(await AiM.fromPretrained(request.args[0], { ...request.args[1], ...load }));
    case 'fromConfig':
      return facts(await AiM.fromConfig(request.args[0], { ...request.args[1], ...load }));
    case 'generate': {
      const onStep = async ({ preview, ...step }: Parameters<NonNullable<Parameters<AiM['generate']>[0]>['onStep'] & {}>[0]) => {
        call.preview = preview;
        const seen = new Promise<boolean>((resolve) => {
          call.seen = resolve;
        });
        send({ id, step });
        // The page rejects the call with the callback's own error. This error only ends the drawing.
        if (!(await seen)) throw new Error('onStep threw');
      };
      const drawn = await live().generate({ ...request.args[0], signal, ...(request.listens && { onStep }) });
      return { ...drawn, images: drawn.images.map(plainImage) };
    }
    case 'preview': {
      const preview = running.get(request.args[0])?.preview;
      if (!preview) throw new DisposedError('the preview of a finished image');
      return (await preview()).map(plainImage);
    }
    case 'tune':
      return live().tune({ ...request.args[0], ...load });
    case 'encode':
      return live().encode(
        request.args[0].map((image) => {
          const { width, height } = image;
          return 'rgb' in image ? new AimImage({ width, height, data: image.rgb }) : image;
        }),
      );
    case 'decode':
      return (await live().decode(request.args[0], { ...request.args[1], signal })).map(plainImage);
    case 'dispose':
      return live().dispose();
  }
}

function facts(aim: AiM) {
  model = aim;
  const { config, classes, ignored, backend, device, parameters, tensors } = aim;
  return { config, classes, ignored, backend, device, parameters, tensors };
}

function live(): AiM {
  if (!model) throw new DisposedError('this AiM');
  return model;
}

function send(message: FromWorker, transfer?: ArrayBuffer[]): void {
  port.post(message, transfer);
}

/** The buffers of the arrays in an answer, so that they are transferred instead of copied. */
function buffers(value: unknown, found = new Set<ArrayBuffer>()): ArrayBuffer[] {
  if (ArrayBuffer.isView(value)) found.add(value.buffer as ArrayBuffer);
  else if (typeof value === 'object' && value !== null) for (const child of Object.values(value)) buffers(child, found);
  return [...found];
}

void listen();
