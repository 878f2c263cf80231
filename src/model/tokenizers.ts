/** The table of tokenizers, by the name in `vq_config.type`. A new one is a file and a line in tokenizer_list.ts. */
import type { Fields } from './fields.js';
import type { Tokenizer, TokenizerConfig } from './tokenizer.js';
import * as list from './tokenizer_list.js';

export const TOKENIZERS = { ...list };

type TokenizerName = keyof typeof TOKENIZERS;
/** The configuration of any tokenizer. */
export type AnyTokenizerConfig = ReturnType<(typeof TOKENIZERS)[TokenizerName]['parse']>;

/** The tokenizer that a configuration belongs to. */
export const tokenizerOf = ({ type }: TokenizerConfig): Tokenizer => TOKENIZERS[type as TokenizerName];

/** Reads `vq_config`. The authors' files have none; they mean the VQ tokenizer of the released models. */
export const parseTokenizer = (config: Fields): AnyTokenizerConfig =>
  TOKENIZERS[config.choice('type', Object.keys(TOKENIZERS) as TokenizerName[], 'vq')].parse(config);
