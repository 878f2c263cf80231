/** Workers: node:worker_threads, or the Web's from a Blob or a URL. */
import { importOptional, runtime } from './runtime.js';

export interface Thread {
  post(message: unknown): void;
  onMessage(listener: (message: never) => void): void;
  /** Calls `listener` when the worker does not start, throws, or (worker_threads) ends. */
  onFailure(listener: (error: Error) => void): void;
  /** Whether the worker keeps the process alive (worker_threads). */
  hold(on: boolean): void;
  end(): void;
}

/** Also in Deno, whose Web workers keep the process alive and do not end while they wait for another thread. */
export const hasWorkerThreads = () => ['node', 'deno'].includes(runtime().name);

/** A worker that runs `script`, or the script at `url`. */
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

/** Inside a worker: its line to who started it, which `ofNode` says was by `nodeThread`. */
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
