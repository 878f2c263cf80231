import { verifyGolden } from './verify_golden.js';

// The tokenizer is no other than in the other checkpoints, nor are the kinds of decoding.
verifyGolden(
  'transformer',
  ['forward.logits', 'adamw.losses', 'grad.mamba.backbone.layers.2.mlp.fc1.weight'],
  /^(?!.*(vq|authors|greedy))/,
);
