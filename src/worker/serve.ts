/** Inside a worker: receives calls as messages, and answers them from a table. */
import type { StepInfo } from '../aim.js';
import type { Progress } from '../checkpoint/source.js';
import { DisposedError } from '../core/errors.js';
import type { AimImage } from '../io/image.js';
import { runtime } from '../platform/runtime.js';
import { parentOf } from '../platform/thread.js';
import { type Calls, type FromWorker, plainError, plainImage, type Request, type ToWorker } from './messages.js';

type Port = Awaited<ReturnType<typeof parentOf>>;

/** What answers each call. */
export type Handlers<K extends keyof Calls = keyof Calls> = {
  [Name in K]: (call: Call, ...args: Parameters<Calls[Name]>) => ReturnType<Calls[Name]> | Promise<ReturnType<Calls[Name]>>;
};

/** A call that is running: what its answer is made with. */
export class Call {
  private readonly controller = new AbortController();
  /** Aborted when the page aborts its signal. */
  readonly signal = this.controller.signal;
  /** Makes the preview of the latest step. */
  preview: (() => Promise<AimImage[]>) | undefined;
  private seen: ((proceed: boolean) => void) | undefined;

  /** @param listens The page has a callback for the progress or the steps of this call. */
  constructor(
    private readonly port: Port,
    private readonly id: number,
    readonly listens: boolean,
  ) {}

  abort(): void {
    this.controller.abort();
    // Whoever waits for the page continues, and finds the signal aborted.
    this.seen?.(true);
  }

  /** The page has taken what it was handed; false if it wants no more. */
  proceed(more: boolean): void {
    this.seen?.(more);
  }

  /** Hands an item to the page and waits until the next one is asked for. False ends the call. */
  hand(item: unknown): Promise<boolean> {
    return this.waited({ item }, buffers(item));
  }

  /** Hands a step to the callback of the page and waits for it. False if it threw. */
  async step({ preview, ...step }: StepInfo): Promise<boolean> {
    this.preview = preview;
    return this.waited({ step });
  }

  get onProgress(): ((progress: Progress) => void) | undefined {
    return this.listens ? (progress) => this.send({ progress }) : undefined;
  }
  readonly onWarning = (warning: string): void => this.send({ warning });

  private waited(message: object, transfer?: ArrayBuffer[]): Promise<boolean> {
    return new Promise<boolean>((resolve) => {
      this.seen = resolve;
      this.send(message, transfer);
      if (this.signal.aborted) resolve(true);
    });
  }

  send(message: object, transfer?: ArrayBuffer[]): void {
    this.port.post({ id: this.id, ...message } as FromWorker, transfer);
  }
}

/** Answers the calls of the page. */
export async function serve(handlers: Omit<Partial<Handlers>, 'preview'>): Promise<void> {
  const port = await parentOf(runtime().name === 'node');
  const running = new Map<number, Call>();
  const table: Partial<Handlers> = {
    ...handlers,
    async preview(_, generate) {
      const { preview } = running.get(generate) ?? {};
      if (!preview) throw new DisposedError('the preview of a finished image');
      return (await preview()).map(plainImage);
    },
  };
  const answer = async ({ id, call: name, args, listens }: Request) => {
    const call = new Call(port, id, listens);
    running.set(id, call);
    try {
      const result = await (table[name] as (call: Call, ...args: unknown[]) => unknown)(call, ...args);
      call.send({ result }, buffers(result));
    } catch (error) {
      call.send({ error: plainError(error) });
    } finally {
      running.delete(id);
    }
  };
  port.onMessage((message: ToWorker) => {
    const call = running.get(message.id);
    if ('abort' in message) call?.abort();
    else if ('seen' in message) call?.proceed(message.seen);
    else void answer(message);
  });
}

/** The buffers of the arrays in an answer, so that they are transferred instead of copied. */
function buffers(value: unknown, found = new Set<ArrayBuffer>()): ArrayBuffer[] {
  if (ArrayBuffer.isView(value)) found.add(value.buffer as ArrayBuffer);
  else if (typeof value === 'object' && value !== null) for (const child of Object.values(value)) buffers(child, found);
  return [...found];
}
