/** Matrix products of the WASM backend for scripts/products.mjs, which times them beside those of other libraries. */
import { WasmBackend } from '../../src/backend/wasm.js';
import { linear } from '../../src/ops/linear.js';

/** Returns a function that computes y [m, n] = x [m, k] · wᵀ, with w [n, k], on one thread, and returns y. */
export async function ours(x: Float32Array, w: Float32Array, m: number, n: number, k: number) {
  const be = await WasmBackend.create({ threads: 1 });
  const y = be.tensor([m, n]);
  const tensors = { x: be.from(x, [m, k]), w: be.from(w, [n, k]), y };
  const { recording } = be.record(() => be.run(linear.forward, tensors));
  return { run: () => recording.replay(), result: () => be.read(y) as Promise<Float32Array>, end: () => be.dispose() };
}
