/** Vitest runs this before the first test that runs the built library. */
import { assertBuilt } from '../scripts/setup.mjs';

export default () => assertBuilt('dist');
