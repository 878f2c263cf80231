/** Starts the worker of `aim-js/worker`, from the script in the bundle or from a URL. */
import { DeviceError } from '../core/errors.js';
import { runtime } from '../platform/runtime.js';
import { nodeThread, type Thread, webThread } from '../platform/thread.js';

/** The script that workers run, and the name of its file in dist. */
let script = { text: '', name: '' };

/** Sets the script. Each entry of the package has its own. */
export function useScript(own: typeof script): void {
  script = own;
}

/** Starts the worker. Throws DeviceError if the runtime has no workers or refuses to start one. */
export async function startThread(url: string | undefined): Promise<Thread> {
  try {
    return runtime().name === 'node' ? await nodeThread(script.text, url) : webThread(script.text, url);
  } catch (error) {
    throw broken(error as Error);
  }
}

/** The error for a worker that failed. */
export function broken(cause: Error): DeviceError {
  return new DeviceError(
    `the worker failed: ${cause.message}. Where a Content-Security-Policy forbids worker-src blob:, serve ` +
      `dist/${script.name} from your origin and pass its address as workerUrl; without workers use 'aim-js'.`,
    { cause },
  );
}
