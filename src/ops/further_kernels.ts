/**
 * The binary with the WASM kernels of ops that few models or few calls need (scripts/kernels.mjs). It comes with the ops, so that the
 * code which draws does without it. Not deflated: it is small, and kernels are looked up synchronously.
 */
import base64 from '../../build/further.wasm?raw';

export const furtherKernels = (): Uint8Array<ArrayBuffer> => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
