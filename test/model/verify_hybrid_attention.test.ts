import { verifyGolden } from './verify_golden.js';

// The tokenizer is no other than in the other checkpoints, nor are the kinds of decoding.
verifyGolden(
  'hybrid-attention',
  ['forward.logits', 'adamw.losses', 'grad.mamba.backbone.layers.1.mixer.in_proj.bias'],
  /^(?!.*(vq|authors|greedy))/,
);
