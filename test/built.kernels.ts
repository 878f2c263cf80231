/** Vitest runs this before the first test that needs the WASM kernels. */
import { assertBuilt } from '../scripts/setup.mjs';

export default () => assertBuilt('kernels');
