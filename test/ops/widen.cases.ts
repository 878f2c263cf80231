import { widen } from '../../src/ops/widen.js';
import type { OpCases } from './harness.js';

const sizes = [1, 2, 3, 4, 5, 7, 8, 255, 256, 257, 1000];

export default [{ entry: widen.forward, cases: sizes.flatMap((n) => [{ n }, { n, half: ['x'] }]) }] satisfies OpCases[];
