/** A model that trains in seconds, and data that it can learn. */
import type { AiM } from '../../src/aim.js';
import { uniform } from '../../src/core/random.js';
import { type Codes, tokenizerFingerprint } from '../../src/data/codes.js';
import type { AimConfigJson } from '../../src/model/config.js';

export const CONFIG: AimConfigJson = {
  d_model: 32,
  n_layer: 2,
  vocab_size: 32,
  num_classes: 3,
  num_tokens: 16,
  ssm_cfg: { layer: 'Mamba2', d_state: 8, headdim: 8 },
  adaln_group: true,
  num_groups: 2,
  vq_config: { ch: 32, ch_mult: [1, 2], num_res_blocks: 1, z_channels: 32, n_embed: 32, embed_dim: 4 },
};

/** Learnable sequences: each token depends on the previous one and the class, with some noise. */
export async function codesFor(aim: AiM, n = 60): Promise<Codes> {
  const part = (count: number, salt: number) => {
    const labels = Uint32Array.from({ length: count }, (_, i) => i % 3);
    const codes = new Uint32Array(count * 16);
    for (let i = 0; i < count; i++) {
      for (let t = 0; t < 16; t++) {
        const before = t ? codes[i * 16 + t - 1]! : 0;
        codes[i * 16 + t] = (before * 5 + labels[i]! * 7 + Math.floor(uniform(9, 'order', salt + i, t) * 3)) % 32;
      }
    }
    return { codes, labels };
  };
  return {
    ...part(n, 0),
    eval: part(14, 1000),
    classes: ['a', 'b', 'c'],
    tokens: 16,
    vocabulary: 32,
    fingerprint: await tokenizerFingerprint(aim),
  };
}
