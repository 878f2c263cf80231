/** The float64 reference of code_age.ts, which states the equation. */
import type { codeAge } from './code_age.js';
import type { References } from './spec.js';

export const references: References<typeof codeAge> = {
  forward({ codes, age }, { r, v }) {
    for (let i = 0; i < r; i++) if (codes[i]! < v) age[codes[i]!] = -1;
  },
};
