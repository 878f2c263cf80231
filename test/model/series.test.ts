/** Launches of several layers share bind groups: fewer are set, and the results are bit-identical to launches with their own. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AiM } from '../../src/aim.js';
import type { AimConfigJson } from '../../src/model/config.js';
import { checkSampling, Sampler } from '../../src/model/sampler.js';
import { gpuDevice, NO_ADAPTER, takeKernels } from '../backends.js';

const LAYERS = 9;
const STEPS = 3;
const config = (mixer: object): AimConfigJson => ({
  d_model: 64,
  n_layer: LAYERS,
  vocab_size: 64,
  ssm_cfg: mixer as AimConfigJson['ssm_cfg'],
  num_classes: 10,
  num_tokens: 16,
  vq_config: { ch: 32, ch_mult: [1, 2], num_res_blocks: 1, z_channels: 32, n_embed: 64, embed_dim: 8 },
});

interface Counts {
  launches: number;
  groups: number;
}
/** Counts the launches and bind groups that are encoded from now on. */
function counting(device: GPUDevice): Counts {
  const counts = { launches: 0, groups: 0 };
  const createEncoder = device.createCommandEncoder.bind(device);
  device.createCommandEncoder = (descriptor) => {
    const encoder = createEncoder(descriptor);
    const begin = encoder.beginComputePass.bind(encoder);
    encoder.beginComputePass = (descriptor) => {
      const pass = begin(descriptor);
      const [set, dispatch] = [pass.setBindGroup.bind(pass), pass.dispatchWorkgroups.bind(pass)];
      pass.setBindGroup = (index: number, group: GPUBindGroup | null) => {
        counts.groups++;
        set(index, group);
      };
      pass.dispatchWorkgroups = (...n) => {
        counts.launches++;
        dispatch(...n);
      };
      return pass;
    };
    return encoder;
  };
  return counts;
}

/** Makes the device refuse pipeline layouts with gaps, as some WebGPU implementations do. */
function gapless(device: GPUDevice): void {
  const create = device.createPipelineLayout.bind(device);
  device.createPipelineLayout = (descriptor) => {
    if ([...descriptor.bindGroupLayouts].some((layout) => !layout)) throw new TypeError('a GPUBindGroupLayout is wanted');
    return create(descriptor);
  };
}

describe.each([
  ['Mamba-2', { layer: 'Mamba2', d_state: 16, headdim: 16 }, { 1: 0.4, 12: 1 }],
  ['Mamba-1', { layer: 'Mamba1' }, { 2: 0.8 }],
] as const)('%s', (_name, mixer, most) => {
  const made: { device: GPUDevice; aim: AiM; counts: Counts }[] = [];
  beforeAll(async () => {
    for (const change of [() => {}, gapless]) {
      const device = await gpuDevice('all');
      if (!device) return;
      change(device);
      const aim = await AiM.fromConfig(config(mixer), { device, seed: 5 });
      takeKernels(aim.model.be, false);
      made.push({ device, aim, counts: counting(device) });
    }
  });
  afterAll(async () => {
    for (const { device, aim } of made) {
      await aim.dispose();
      device.destroy();
    }
  });

  it.for(Object.entries(most))('%s guided images set fewer than %s of the bind groups', async ([images, share], { skip }) => {
    if (!made.length) return skip(NO_ADAPTER);
    const count = Number(images);
    const labels = Array.from({ length: count }, (_, i) => i % 10);
    const drawn = [];
    for (const { aim, counts } of made) {
      const { be } = aim.model;
      const sampler = new Sampler(be, aim.config, aim.model.params.mamba.backbone, count, checkSampling({ topK: 8 }));
      sampler.start(labels, labels);
      await be.settle();
      Object.assign(counts, { launches: 0, groups: 0 });
      for (let t = 0; t < STEPS; t++) sampler.next();
      await be.settle();
      drawn.push({ ...counts, tokens: await be.read(sampler.tokens), logits: await be.read(sampler.logits) });
      sampler.dispose();
    }
    const [shared, alone] = drawn as [(typeof drawn)[0], (typeof drawn)[0]];
    expect(shared.tokens).toEqual(alone.tokens);
    expect(shared.logits).toEqual(alone.logits);
    expect(shared.launches).toBe(alone.launches);
    expect(shared.groups).toBeLessThan(share * alone.groups);
  });
});
