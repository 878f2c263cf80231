/**
 * Gradients of stage 2 at the sizes of real runs, on WebGPU in both precisions against WASM, as a program for a machine with a GPU: `npm run
 * gpu-contract` bundles it into build/gpu_training.mjs. Launches depend on sizes, and those of the contract's cases are small. Exits with 1 if a
 * gradient is wrong. `node build/gpu_training.mjs small` takes sizes that a software GPU computes in a minute.
 */
import { AiM } from '../../src/aim.js';
import type { AimConfigJson } from '../../src/model/config.js';
import { bringKernels } from '../../src/train/kernels.js';
import { trainingRun } from '../../src/verify/training.js';
import { openGates } from '../model/open_gates.js';

interface Size {
  name: string;
  d: number;
  layers: number;
  tokens: number;
  codes: number;
  batch: number;
  mixer: 'Mamba1' | 'Mamba2';
}
const REAL: Size[] = [
  { name: 'two layers of Fashion-MNIST', d: 320, layers: 2, tokens: 64, codes: 512, batch: 256, mixer: 'Mamba2' },
  { name: 'own pictures of 64×64', d: 256, layers: 2, tokens: 256, codes: 2048, batch: 64, mixer: 'Mamba2' },
  { name: 'AiM-B', d: 768, layers: 1, tokens: 256, codes: 16384, batch: 16, mixer: 'Mamba2' },
  { name: 'Mamba-1', d: 256, layers: 1, tokens: 256, codes: 2048, batch: 32, mixer: 'Mamba1' },
];
const SMALL: Size[] = [
  { name: 'small', d: 32, layers: 1, tokens: 9, codes: 16, batch: 120, mixer: 'Mamba2' },
  { name: 'small Mamba-1', d: 32, layers: 1, tokens: 9, codes: 16, batch: 60, mixer: 'Mamba1' },
];
/**
 * Largest norm of the difference of a gradient, of its own norm, by precision: in mixed, as `verify` allows. A_log and dt_bias lose most to
 * rounding.
 */
const ALLOWED = { f32: 1e-2, mixed: 2 ** -5 };

let wrong = 0;
for (const size of process.argv[2] === 'small' ? SMALL : REAL) {
  const json: AimConfigJson = {
    d_model: size.d,
    n_layer: size.layers,
    ssm_cfg: { layer: size.mixer },
    vocab_size: size.codes,
    num_classes: 10,
    num_tokens: size.tokens,
    vq_config: { ch: 32, ch_mult: [1, 2], num_res_blocks: 1, z_channels: 32, n_embed: size.codes, embed_dim: 8 },
  };
  const gradients = async (device: 'webgpu' | 'wasm', precision: keyof typeof ALLOWED) => {
    const aim = await AiM.fromConfig(json, { device, precision, seed: 3 });
    try {
      const { model } = aim;
      bringKernels(model.be);
      await openGates(aim);
      const tokens = Uint32Array.from(
        { length: size.batch * size.tokens },
        (_, i) => (i * 31 + Math.floor(i / size.tokens) * 7) % size.codes,
      );
      const labels = Uint32Array.from({ length: size.batch }, (_, i) => i % 10);
      const { grads, losses } = await trainingRun(model, { params: model.params, tokens, labels, steps: 1 });
      console.log(`${size.name}, ${size.batch} sequences of ${size.tokens}: loss ${losses[0]} on ${aim.device}, ${precision}`);
      return grads;
    } finally {
      await aim.dispose();
    }
  };
  const want = await gradients('wasm', 'f32');
  for (const [precision, allowed] of Object.entries(ALLOWED) as [keyof typeof ALLOWED, number][]) {
    const got = await gradients('webgpu', precision);
    const rows = [...want].map(([name, w]) => {
      let [off, norm] = [0, 0];
      const g = got.get(name)!;
      w.forEach((value, i) => {
        off += (g[i]! - value) ** 2;
        norm += value ** 2;
      });
      return { name, share: Math.sqrt(off / norm) };
    });
    rows.sort((a, b) => b.share - a.share);
    const failed = rows.filter(({ share }) => !(share <= allowed));
    wrong += failed.length;
    for (const { name, share } of failed.length ? failed : rows.slice(0, 1))
      console.log(`  ${failed.length ? 'WRONG' : 'most'}: ${name}, ${share.toExponential(1)} of its norm`);
  }
}
console.log(`${wrong} wrong`);
// Dawn may keep the process alive.
process.exit(wrong ? 1 : 0);
