/**
 * The script of a helper thread of the WASM backend. It instantiates the kernels on the shared memory and runs parts of calls.
 */
import { hasWorkerThreads, parentOf } from '../platform/thread.js';
import { kernelsOf, serve } from './board.js';
import type { HelperStart } from './helpers.js';

async function help(): Promise<void> {
  const parent = await parentOf(hasWorkerThreads());
  parent.onMessage(({ modules, memory, board, thread }: HelperStart) => {
    const abort = () => {
      throw new Error('a WASM kernel stopped');
    };
    const kernels = modules.flatMap((module) =>
      kernelsOf(new WebAssembly.Instance(module, { env: { memory, abort } })).map(([, kernel]) => kernel),
    );
    parent.post('ready');
    serve(board, kernels, thread);
  });
}

void help();
