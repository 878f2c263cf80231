/**
 * Brings what only training runs to a backend: on WASM a binary of its own, on the others nothing. Also the code of layers that few
 * models have, since a Trainer cannot wait for it; `aim-js` loads its own when it loads a model.
 */
import binary from '../../build/train.wasm?raw';
import type { Backend } from '../backend/backend.js';
import * as layers from '../model/extra_layers.js';
import { haveLayers } from '../model/mixers.js';

const kernels = () => Uint8Array.from(atob(binary), (c) => c.charCodeAt(0));

export function bringKernels(be: Backend): void {
  haveLayers(layers);
  be.extend(kernels);
}
