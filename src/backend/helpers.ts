/** Starts the helper threads of the WASM backend. */
import script from '../../build/helper.js?text';
import { hasWorkerThreads, nodeThread, type Thread, webThread } from '../platform/thread.js';
import type { Board } from './board.js';

/** The message that starts a helper. */
export interface HelperStart {
  modules: WebAssembly.Module[];
  memory: WebAssembly.Memory;
  board: Board;
  thread: number;
}

/** Starts a helper thread. Returns undefined if the runtime refuses workers. */
export async function startHelper(start: HelperStart): Promise<Thread | undefined> {
  let thread: Thread | undefined;
  try {
    const started = hasWorkerThreads() ? await nodeThread(script) : webThread(script);
    thread = started;
    await new Promise<void>((resolve, reject) => {
      started.onMessage(() => resolve());
      started.onFailure(reject);
      started.post(start);
    });
    started.hold(false);
    return started;
  } catch {
    thread?.end();
    return undefined;
  }
}
