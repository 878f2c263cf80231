/** Workers: worker_threads in Node and, for what must not keep the process alive, in Deno; else the Web's, from a Blob or a URL. */
import { importOptional, runtime } from './runtime.js';

export interface Thread {
  post(message: unknown): void;
  onMessage(listener: (message: never) => void): void;
  /** Hears of a worker that did not start or broke down. */
  onFailure(listener: (error: Error) => void): void;
  /** Whether the worker keeps the process alive (worker_threads). */
  hold(on: boolean): void;
  end(): void;
}

/** A worker that runs `script`, or the script at `url`. */
export async function nodeThread(script: string, url?: string): Promise<Thread> {
  const { Worker } = await importOptional<typeof import('node:worker_threads')>('node:worker_threads');
  const worker = new Worker(url ? new URL(url) : script, { eval: !url });
  return {
    post: (message) => worker.postMessage(message),
    onMessage: (listener) => void worker.on('message', listener as (message: unknown) => void),
    onFailure: (listener) => void worker.on('error', listener),
    hold: (on) => (on ? worker.ref() : worker.unref()),
    end: () => void worker.terminate(),
  };
}

/** The same of the Web's workers. Throws where there are none. */
export function webThread(script: string, url?: string): Thread {
  const blob = url ? undefined : URL.createObjectURL(new Blob([script], { type: 'text/javascript' }));
  const worker = new Worker(url ?? blob!, { type: 'module' });
  return {
    post: (message) => worker.postMessage(message),
    onMessage: (listener) => worker.addEventListener('message', ({ data }) => listener(data as never)),
    onFailure: (listener) =>
      worker.addEventListener('error', (event) => {
        event.preventDefault();
        listener(new Error(event.message || 'its script was not loaded'));
      }),
    hold() {},
    end() {
      worker.terminate();
      if (blob) URL.revokeObjectURL(blob);
    },
  };
}

/** Inside a worker: its line to who started it. `threads` says that it was started by worker_threads. */
export async function parentOf(threads = runtime().name === 'node') {
  if (threads) {
    const { parentPort } = await importOptional<typeof import('node:worker_threads')>('node:worker_threads');
    return {
      post: (message: unknown, transfer: ArrayBuffer[] = []) => parentPort!.postMessage(message, transfer),
      onMessage: (listener: (message: never) => void) => void parentPort!.on('message', listener as (message: unknown) => void),
    };
  }
  const scope = globalThis as unknown as { postMessage(message: unknown, transfer: ArrayBuffer[]): void } & EventTarget;
  return {
    post: (message: unknown, transfer: ArrayBuffer[] = []) => scope.postMessage(message, transfer),
    onMessage: (listener: (message: never) => void) =>
      scope.addEventListener('message', (event) => listener((event as MessageEvent).data as never)),
  };
}
