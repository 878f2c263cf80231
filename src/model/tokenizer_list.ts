/** Every tokenizer, by its name in `vq_config.type`: the one line that a new tokenizer adds. */
export { vqTokenizer as vq } from './vq_tokenizer.js';
