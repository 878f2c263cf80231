/** config.json: what is refused, by which name, and how long the message is. */
import { describe, expect, it } from 'vitest';
import { CheckpointError } from '../../src/core/errors.js';
import { quoted } from '../../src/core/quote.js';
import { parseConfig } from '../../src/model/config.js';
import { mixerSummaries } from '../../src/model/mixers.js';

const GOOD = {
  d_model: 32,
  n_layer: 2,
  vocab_size: 64,
  num_classes: 10,
  num_tokens: 16,
  ssm_cfg: { layer: 'Mamba2', d_state: 8, headdim: 8 },
  vq_config: { ch: 32, ch_mult: [1, 2], num_res_blocks: 1, z_channels: 32, n_embed: 64, embed_dim: 4 },
};
const refusal = (change: object): Error => {
  try {
    parseConfig({ ...GOOD, ...change }, 'c.json');
  } catch (error) {
    expect(error).toBeInstanceOf(CheckpointError);
    return error as Error;
  }
  throw new Error(`accepted: ${Object.keys(change)}`);
};

/** A model with attention in layer 1. */
const attending = (change: object) => ({ attn_layer_idx: [1], attn_cfg: { num_heads: 4, causal: true, ...change } });

/** [[[…]]] */
const nested = (depth: number) => JSON.parse('['.repeat(depth) + ']'.repeat(depth));

describe('a config is parsed', () => {
  it('with the defaults of its mixer', () => {
    expect(parseConfig(GOOD).mixer).toEqual({
      layer: 'Mamba2',
      d_model: 32,
      d_state: 8,
      d_conv: 4,
      d_inner: 64,
      headdim: 8,
      nheads: 8,
      ngroups: 1,
    });
    const { ssm_cfg: _, ...unnamed } = GOOD;
    expect(parseConfig(unnamed).mixer).toEqual({ layer: 'Mamba1', d_model: 32, d_state: 16, d_conv: 4, d_inner: 64, dt_rank: 2 });
  });

  it('with the image size of the tokenizer, and the label as condition', () => {
    expect(parseConfig(GOOD)).toMatchObject({ image_size: 8, num_classes: 10, condition: { type: 'label', num_classes: 10 } });
  });

  it('with attention in some layers or in all, and an MLP', () => {
    const attention = {
      layer: 'Attention',
      d_model: 32,
      num_heads: 4,
      num_heads_kv: 2,
      head_dim: 8,
      qkv_proj_bias: true,
      out_proj_bias: false,
      softmax_scale: 8 ** -0.5,
    };
    const some = parseConfig({ ...GOOD, ...attending({ num_heads_kv: 2, out_proj_bias: false }), d_intermediate: 129 });
    expect(some).toMatchObject({ mixer: { layer: 'Mamba2' }, attn_layer_idx: [1], attention, mlp_hidden: 256 });
    expect(mixerSummaries(some)).toEqual(['Mamba2 × 1, d_state 8', 'Attention × 1, 4 heads of 8, 2 of keys and values']);
    // Then ssm_cfg is not read.
    const all = parseConfig({ ...GOOD, ...attending({ head_dim: 5, softmax_scale: 2 }), attn_layer_idx: [1, 0], ssm_cfg: 3 });
    expect(all.mixer).toMatchObject({ layer: 'Attention', head_dim: 5, softmax_scale: 2, num_heads_kv: 4 });
    expect(all).toMatchObject({ attn_layer_idx: [0, 1], mlp_hidden: 0 });
    expect(mixerSummaries(all)).toEqual(['Attention × 2, 4 heads of 5']);
  });

  it.each([[undefined], [null], [[]]])('with attn_layer_idx %j', (attn_layer_idx) => {
    expect(parseConfig({ ...GOOD, attn_layer_idx }).n_layer).toBe(2);
  });
});

describe('an invalid config is refused with the name of the field', () => {
  it.each([
    [{ ssm_cfg: { layer: 'Mamba3' } }, /^c\.json: ssm_cfg\.layer is "Mamba3", expected "Mamba1" or "Mamba2"\.$/],
    [{ ssm_cfg: { layer: 'constructor' } }, /ssm_cfg\.layer is "constructor"/],
    [{ ssm_cfg: { layer: 'Mamba2', d_conv: 1 } }, /ssm_cfg\.d_conv is 1, expected an integer from 2 to 8/],
    [{ ssm_cfg: { layer: 'Mamba1', d_conv: 1 } }, /ssm_cfg\.d_conv is 1/],
    [{ ssm_cfg: { layer: 'Mamba1', d_state: 65 } }, /ssm_cfg\.d_state is 65, expected an integer from 1 to 64/],
    [{ ssm_cfg: { layer: 'Mamba2', headdim: 24 } }, /d_inner|expand·d_model = 64 must divide into heads of headdim 24/],
    [{ ssm_cfg: 3 }, /ssm_cfg is 3, expected an object/],
    [{ attn_layer_idx: [2] }, /attn_layer_idx is \[2\], expected a list of layers from 0 to 1/],
    [{ attn_layer_idx: 1 }, /attn_layer_idx is 1, expected a list/],
    [attending({ causal: false }), /attn_cfg\.causal is false, expected true/],
    [attending({ num_heads: undefined }), /attn_cfg\.num_heads is missing, expected an integer/],
    [attending({ num_heads: 3 }), /attn_cfg\.num_heads is 3, expected a divisor of d_model, which is 32/],
    [attending({ num_heads_kv: 3 }), /attn_cfg\.num_heads_kv is 3, expected a divisor of num_heads, which is 4/],
    [attending({ head_dim: 257 }), /attn_cfg\.head_dim is 257, expected an integer from 1 to 256/],
    [attending({ softmax_scale: 0 }), /attn_cfg\.softmax_scale is 0, expected a number above 0/],
    [attending({ qkv_proj_bias: 1 }), /attn_cfg\.qkv_proj_bias is 1, expected true or false/],
    [attending({ rotary_emb_dim: 8 }), /attn_cfg\.rotary_emb_dim is 8, expected 0/],
    [attending({ mlp_dim: 64 }), /attn_cfg\.mlp_dim is 64, expected 0/],
    [attending({ d_conv: 4 }), /attn_cfg\.d_conv is 4, expected 0/],
    [{ d_intermediate: -1 }, /d_intermediate is -1, expected an integer from 0/],
    [{ vq_config: { ...GOOD.vq_config, type: 'fsq' } }, /vq_config\.type is "fsq", expected "vq"/],
    [{ vq_config: { ...GOOD.vq_config, ch: 8 } }, /ch × ch_mult must be multiples of 32/],
    [{ vq_config: { ...GOOD.vq_config, ch_mult: [] } }, /vq_config\.ch_mult is \[\], expected 1 to 8 positive integers/],
    [{ vq_config: { ...GOOD.vq_config, n_embed: 32 } }, /vocab_size is 64, expected the tokenizer's number of codes, 32/],
    [{ condition: 'text' }, /condition is "text", expected "label"/],
    [{ num_classes: undefined }, /num_classes is missing, expected an integer/],
    [{ num_tokens: 15 }, /num_tokens is 15, expected a square number/],
  ])('%j', (change, message) => {
    expect(refusal(change).message).toMatch(message);
  });

  it.each([['d_model'], ['attn_layer_idx'], ['ssm_cfg'], ['vq_config'], ['any_other']])('%s nested too deeply', (field) => {
    expect(refusal({ [field]: nested(100_000) }).message).toMatch(/^c\.json: .{1,200}$/s);
  });

  it('with a message that quotes at most about 100 characters', () => {
    const [text, list, object] = ['x'.repeat(1e6), Array(1e5).fill(1), { a: 'y'.repeat(1e6) }];
    for (const field of ['d_model', 'adaln_group', 'attn_layer_idx'])
      for (const value of [text, list, object]) expect(refusal({ [field]: value }).message.length).toBeLessThan(250);
    for (const value of [text, list]) expect(refusal({ ssm_cfg: value }).message.length).toBeLessThan(250);
    for (const layer of [text, list, object]) expect(refusal({ ssm_cfg: { layer } }).message.length).toBeLessThan(250);
  });
});

it('error messages quote values as JSON where JSON can represent them', () => {
  expect(quoted('a')).toBe('"a"');
  expect(quoted([1, null])).toBe('[1,null]');
  expect(quoted(undefined)).toBe('missing');
  expect(quoted('x'.repeat(100))).toBe(`"${'x'.repeat(99)}…`);
  expect(quoted('x'.repeat(101))).toBe(`"${'x'.repeat(99)}…`);
  expect(quoted(nested(1e5))).toBe('a value that JSON cannot write (object)');
  expect(quoted(1n)).toBe('a value that JSON cannot write (bigint)');
});
