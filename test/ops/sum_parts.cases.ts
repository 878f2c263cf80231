import { sumParts } from '../../src/ops/sum_parts.js';
import type { OpCases } from './harness.js';

const cases = [1, 2, 5, 32].flatMap((p) => [1, 3, 4, 64, 257, 1000].map((n) => ({ p, n })));

export default [{ entry: sumParts.forward, cases }] satisfies OpCases[];
