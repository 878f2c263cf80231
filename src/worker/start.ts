/** Starts the worker of `aim-js/worker`, from the script in the bundle or from a URL. */
import script from '../../dist/aim.worker.min.js?text';
import { DeviceError } from '../core/errors.js';
import { runtime } from '../platform/runtime.js';
import { nodeThread, type Thread, webThread } from '../platform/thread.js';

/** Starts the worker. Throws DeviceError if the runtime has no workers or refuses to start one. */
export async function startThread(url: string | undefined): Promise<Thread> {
  try {
    return runtime().name === 'node' ? await nodeThread(script, url) : webThread(script, url);
  } catch (error) {
    throw broken(error as Error);
  }
}

/** The error for a worker that failed. */
export function broken(cause: Error): DeviceError {
  return new DeviceError(
    `the worker failed: ${cause.message}. Where a Content-Security-Policy forbids worker-src blob:, serve ` +
      "dist/aim.worker.min.js from your origin and pass its address as workerUrl; without workers use 'aim-js'.",
    { cause },
  );
}
