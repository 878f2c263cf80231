/** What a helper thread of the WASM backend runs: the kernels on the backend's memory, by the parts that its board posts. */
import { hasWorkerThreads, parentOf } from '../platform/thread.js';
import { kernelsOf, serve } from './board.js';
import type { HelperStart } from './wasm.js';

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
