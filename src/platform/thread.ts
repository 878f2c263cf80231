/** One interface for the workers of node:worker_threads and for Web workers. */
import { importOptional, runtime } from './runtime.js';

export interface Thread {
  post(message: unknown): void;
  onMessage(listener: (message: never) => void): void;
  /** Calls `listener` when the worker does not start, throws, or (worker_threads) ends. */
  onFailure(listener: (error: Error) => void): void;
  /** Whether the worker keeps the process alive; no effect on Web workers. */
  hold(on: boolean): void;
  end(): void;
}

/** True in Node and Deno. Deno's Web workers are not used: they keep the process alive and do not end while blocked in a wait. */
export const hasWorkerThreads = () => ['node', 'deno'].includes(runtime().name);

/** Starts a node:worker_threads worker with the source `script`, or with the script at `url`. */
export async function nodeThread(script: string, url?: string): Promise<Thread> {
  const { Worker } = await importOptional<typeof import('node:worker_threads')>('node:worker_threads');
  const worker = new Worker(url ? new URL(url) : script, { eval: !url });
  return {
    post: (message) => worker.postMessage(message),
    onMessage: (listener) => void worker.on('message', listener as (message: unknown) => void),
    onFailure(listener) {
      worker.on('error', listener);
      worker.on('exit', (code) => listener(new Error(`it ended with code ${code}`)));
    },
    hold: (on) => (on ? worker.ref() : worker.unref()),
    end: () => void worker.terminate(),
  };
}

/** Starts a Web worker with the source `script`, or with the script at `url`. Throws where there are no Web workers. */
export function webThread(script: string, url?: string): Thread {
  const blob = url ? undefined : URL.createObjectURL(new Blob([script], { type: 'text/javascript' }));
  const worker = new Worker(url ?? blob!, { type: 'module' });
  return {
    post: (message) => worker.postMessage(message),
    onMessage: (listener) => worker.addEventListener('message', ({ data }) => listener(data as never)),
    onFailure: (listener) =>
      worker.addEventListener('error', (event) => {
        event.preventDefault();
        listener(new Error(event.message || 'its script could not be loaded'));
      }),
    hold() {},
    end() {
      worker.terminate();
      if (blob) URL.revokeObjectURL(blob);
    },
  };
}

/** Inside a worker: the channel to the thread that started it, by `nodeThread` if `ofNode` is true, else by `webThread`. */
export async function parentOf(ofNode: boolean) {
  if (ofNode) {
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
