/** Launches depend on the size of a batch. Gradients of many sequences on WebGPU, with the kernels for real GPUs, against WASM. */
import { it } from 'vitest';
import { AiM } from '../../src/aim.js';
import type { AimConfigJson } from '../../src/model/config.js';
import { hasAdapter, NO_ADAPTER, sharedDevice, takeKernels } from '../backends.js';
import { openGates } from './open_gates.js';
import { expectSameTraining } from './same_training.js';

const SEQUENCES = 240;
const config = (ssm_cfg: object): AimConfigJson => ({
  d_model: 16,
  n_layer: 1,
  ssm_cfg: ssm_cfg as AimConfigJson['ssm_cfg'],
  vocab_size: 16,
  num_classes: 4,
  num_tokens: 4,
  vq_config: { ch: 32, ch_mult: [1, 2], num_res_blocks: 1, z_channels: 32, n_embed: 16, embed_dim: 8 },
});

it.for([
  // Eight heads, of which a workgroup takes two.
  ['Mamba-2', { layer: 'Mamba2', d_state: 8, headdim: 4 }],
  ['Mamba-1', { layer: 'Mamba1' }],
] as const)(`%s: gradients and two AdamW steps of ${SEQUENCES} sequences match those of WASM`, async ([, mixer], { skip }) => {
  if (!(await hasAdapter())) return skip(NO_ADAPTER);
  const wasm = await AiM.fromConfig(config(mixer), { device: 'wasm', seed: 2 });
  const labels = Array.from({ length: SEQUENCES }, (_, i) => i % 4);
  const aim = await AiM.fromConfig(config(mixer), { device: await sharedDevice(), seed: 2 });
  takeKernels(aim.model.be, false);
  await openGates(aim);
  await openGates(wasm);
  await expectSameTraining(aim, wasm, labels, 2).finally(() => aim.dispose());
  await wasm.dispose();
});
