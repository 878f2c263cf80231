/** The table of tokenizers, by the name in `vq_config.type`. Only this file knows which tokenizers exist. */
import type { Fields } from './fields.js';
import type { Tokenizer, TokenizerConfig } from './tokenizer.js';
import { vqTokenizer } from './vq_tokenizer.js';

export const TOKENIZERS = {
  vq: vqTokenizer,
};

type TokenizerName = keyof typeof TOKENIZERS;
/** The configuration of any tokenizer. */
export type AnyTokenizerConfig = ReturnType<(typeof TOKENIZERS)[TokenizerName]['parse']>;

/** The tokenizer that a configuration belongs to. */
export const tokenizerOf = ({ type }: TokenizerConfig): Tokenizer => TOKENIZERS[type as TokenizerName];

/** Reads `vq_config`. The authors' files have none; they mean the VQ tokenizer of the released models. */
export const parseTokenizer = (config: Fields): AnyTokenizerConfig =>
  TOKENIZERS[config.choice('type', Object.keys(TOKENIZERS) as TokenizerName[], 'vq')].parse(config);
