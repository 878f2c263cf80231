/** What Dawn's compiler adds to kernels so that no index leaves its array and no loop runs for ever (scripts/guards.mjs). */
import { describe, expect, it } from 'vitest';
import { countGuards, guards } from '../../scripts/guards.mjs';
import { leftOut, NO_ADAPTER, opsBackend } from '../backends.js';

const TRAINING = 'training, once or twice a step: indices and loops over keys, states or tokens that are known at run time only';
const BLOCKWISE = 'attention block by block, for more scores than the models of this size have';
const ENCODING = 'encoding of pictures: drawing from codes does without';
const SEQUENCE = 'many positions at once: training, and tokens that a drawing starts from; not its steps';

/** The guards of kernels that are left with them: most clamps and counters, and the reason. */
const LEFT: Record<string, [clamps: number, counters: number, reason: string]> = {
  'attention.backward_key': [10, 0, TRAINING],
  'attention.backward_query': [19, 0, TRAINING],
  'attention.forward': [16, 0, BLOCKWISE],
  'causal_attention.backward_key': [10, 0, TRAINING],
  'causal_attention.backward_query': [10, 0, TRAINING],
  'causal_attention.forward': [18, 0, SEQUENCE],
  'causal_conv1d.backward': [5, 0, TRAINING],
  'causal_conv1d.forward': [5, 3, 'a convolution of one tap has loops without rounds'],
  'embedding.backward': [11, 1, TRAINING],
  'feature_distance.backward': [2, 0, TRAINING],
  'feature_distance.forward': [2, 0, TRAINING],
  'quantize.backward': [3, 0, TRAINING],
  'quantize.forward': [13, 0, ENCODING],
  'selective_scan.backward': [23, 0, TRAINING],
  'ssd.backward_blocks_dt': [12, 2, TRAINING],
  'ssd.backward_blocks_scores': [6, 1, TRAINING],
  'ssd.backward_future': [19, 0, TRAINING],
  'ssd.backward_future_vec4': [19, 0, TRAINING],
  'ssd.backward_past': [19, 0, TRAINING],
  'ssd.backward_past_vec4': [19, 0, TRAINING],
  'ssd.make_scores': [0, 1, SEQUENCE],
  'ssd.make_steps': [8, 0, SEQUENCE],
  'token_embedding.backward_word': [11, 1, TRAINING],
};

describe('guards that the compiler adds', () => {
  it('are none but those known', async ({ skip }) => {
    const why = leftOut('linear');
    if (why) return skip(why);
    const be = await opsBackend();
    if (!be) return skip(NO_ADAPTER);
    be.dispose();
    const found = await guards();
    expect(found.size).toBeGreaterThan(200);
    const over: string[] = [];
    const reached = new Set<string>();
    for (const [label, { clamps, counters }] of found) {
      const name = label.split(' ')[0]!;
      const [mostClamps, mostCounters] = LEFT[name] ?? [0, 0];
      if (clamps > mostClamps || counters > mostCounters) over.push(`${label}: ${clamps} clamps, ${counters} counters`);
      if (clamps || counters) reached.add(name);
    }
    expect(over, 'kernels with a new guard').toEqual([]);
    expect(Object.keys(LEFT).filter((name) => !reached.has(name))).toEqual([]);
  });

  it('are told from what a shader says itself', () => {
    const rows = `
      %uint_7 = OpConstant %uint 7
      %uint_4294967295 = OpConstant %uint 4294967295
      %87 = OpConstantComposite %v2uint %uint_4294967295 %uint_4294967295
      %34 = OpExtInst %uint %35 UMin %32 %uint_7
      %36 = OpAccessChain %_ptr_Workgroup_float %6 %34
      %37 = OpAccessChain %_ptr_Workgroup_float %6 %32
      %43 = OpArrayLength %uint %1 0
      %44 = OpExtInst %uint %35 UMin %32 %43
      %45 = OpAccessChain %_ptr_StorageBuffer_float %1 %uint_0 %44
      OpStore %84 %87
      OpStore %36 %47 NonPrivatePointer
      OpLoopMerge %66 %64 None`.split('\n');
    expect(countGuards(rows)).toEqual({ clamps: 1, counters: 1, loops: 1 });
  });
});
