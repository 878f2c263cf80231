/** `verify` of every golden checkpoint on every backend. */
import { describe, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import { openFile } from '../../src/platform/files.js';
import { verify } from '../../src/verify.js';
import { hasAdapter, NO_ADAPTER } from '../backends.js';
import { GOLDENS, golden, NO_GOLDENS } from '../goldens.js';

/** Minutes each on a software adapter or in float64; AIM_SLOW=1 runs them too, `aim verify` runs them one by one. */
const SLOW = ['aim-fmnist on reference', 'mamba2-adaln-group on webgpu', 'aim-fmnist on webgpu'];

const MUST_CHECK = ['forward.logits', 'forward.loss', 'vq.decoded-from-codes'];

for (const name of GOLDENS) {
  describe(name, () => {
    for (const device of ['reference', 'wasm', 'webgpu'] as const) {
      it(device, async ({ skip }) => {
        const folder = golden(name);
        if (!folder) return skip(NO_GOLDENS);
        if (SLOW.includes(`${name} on ${device}`) && !process.env.AIM_SLOW)
          return skip('takes minutes here; set AIM_SLOW=1 to run it');
        if (device === 'webgpu' && !(await hasAdapter())) return skip(NO_ADAPTER);
        const aim = await AiM.fromPretrained(folder, { device });
        const source = await openFile(`${folder}/expected.safetensors`);
        try {
          const { rows } = await verify(aim, source);
          expect(rows.filter((r) => !r.ok)).toEqual([]);
          expect(rows.map((r) => r.name)).toEqual(expect.arrayContaining(MUST_CHECK));
        } finally {
          await source.close();
          await aim.dispose();
        }
      });
    }
  });
}
