import { codebookLookup } from '../../src/ops/codebook_lookup.js';
import type { OpCases } from './harness.js';

const cases = [1, 2, 5, 16, 100, 512].flatMap((v) => [1, 4, 8, 33].map((d, i) => ({ v, d, r: [1, 7, 64, 300][(i + v) % 4]! })));

export default [
  {
    entry: codebookLookup.forward,
    cases,
    // One code in eight lies past the end of the codebook.
    fill: { codes: (random, { v }) => Math.floor(random() * v! * 1.15) },
  },
] satisfies OpCases[];
