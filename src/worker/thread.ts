/** Starting a worker: from a Blob in browsers and Deno, by worker_threads in Node, or from a script of the user's own. */
import script from '../../dist/aim.worker.min.js?text';
import { DeviceError } from '../errors.js';
import { importOptional, runtime } from '../platform/runtime.js';
import type { FromWorker, ToWorker } from './messages.js';

export interface Thread {
  post(message: ToWorker): void;
  onMessage(listener: (message: FromWorker) => void): void;
  /** Hears of a worker that did not start or broke down. */
  onFailure(listener: (error: DeviceError) => void): void;
  /** Whether the worker keeps the process alive (Node). */
  hold(on: boolean): void;
  end(): void;
}

/** Throws DeviceError when there are no workers here. */
export async function startThread(url: string | undefined): Promise<Thread> {
  return runtime().name === 'node' ? nodeThread(url) : webThread(url);
}

async function nodeThread(url: string | undefined): Promise<Thread> {
  const { Worker } = await importOptional<typeof import('node:worker_threads')>('node:worker_threads');
  const worker = new Worker(url ? new URL(url) : script, { eval: !url });
  return {
    post: (message) => worker.postMessage(message),
    onMessage: (listener) => void worker.on('message', listener),
    onFailure: (listener) => void worker.on('error', (error) => listener(broken(error.message, error))),
    hold: (on) => (on ? worker.ref() : worker.unref()),
    end: () => void worker.terminate(),
  };
}

function webThread(url: string | undefined): Thread {
  const blob = url ? undefined : URL.createObjectURL(new Blob([script], { type: 'text/javascript' }));
  let worker: Worker;
  try {
    worker = new Worker(url ?? blob!, { type: 'module' });
  } catch (error) {
    throw broken((error as Error).message, error);
  }
  return {
    post: (message) => worker.postMessage(message),
    onMessage: (listener) => worker.addEventListener('message', ({ data }) => listener(data)),
    onFailure: (listener) =>
      worker.addEventListener('error', (event) => {
        event.preventDefault();
        listener(broken(event.message || 'its script was not loaded'));
      }),
    hold() {},
    end() {
      worker.terminate();
      if (blob) URL.revokeObjectURL(blob);
    },
  };
}

function broken(what: string, cause?: unknown): DeviceError {
  return new DeviceError(
    `the worker failed: ${what}. Where a Content-Security-Policy forbids worker-src blob:, serve dist/aim.worker.min.js from ` +
      "your origin and pass its address as workerUrl; without workers use 'aim-js'.",
    { cause },
  );
}
