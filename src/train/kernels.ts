/** Brings what only training runs to a backend: on WASM a binary of its own, on the others nothing. */
import binary from '../../build/train.wasm?raw';
import type { Backend } from '../backend/backend.js';

export function bringKernels(be: Backend): void {
  be.extend(() => Uint8Array.from(atob(binary), (c) => c.charCodeAt(0)));
}
