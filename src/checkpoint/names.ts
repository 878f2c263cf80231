/** The names under which checkpoints save the parameters of AiM, brought to those of the authors' model.safetensors. */
import { CheckpointError } from '../core/errors.js';
import type { SafetensorsHeader, TensorEntry } from '../io/safetensors.js';

/** Wrappers of PyTorch that put their own name before all others: DataParallel, torch.compile, Lightning. */
const WRAPPERS = /^(module|_orig_mod|model|aim)\./;
/** The modules of LlamaGen's tokenizer, which is saved without AiM around it (vq_f16.pt, vq_ds16_c2i.pt). */
const TOKENIZER = /^(encoder|decoder|quantize|quant_conv|post_quant_conv)\./;
/** Stage 2 saved without AiM around it (aim_b.bin), with or without the head. */
const STAGE2 = /^(backbone|lm_head)\./;
const BACKBONE = /^(cls_embed|embeddings|layers|final_layer|norm_f|adaln_group)\b/;

/** `module.encoder.conv_in.weight` → `vqvae.encoder.conv_in.weight`. Names that are known already stay. */
export function modelName(name: string): string {
  let bare = name.replaceAll('._orig_mod.', '.');
  while (WRAPPERS.test(bare)) bare = bare.replace(WRAPPERS, '');
  if (TOKENIZER.test(bare)) return `vqvae.${bare}`;
  if (STAGE2.test(bare)) return `mamba.${bare}`;
  if (BACKBONE.test(bare)) return `mamba.backbone.${bare}`;
  return bare;
}

/** The same header with the names of AiM. Throws CheckpointError if two tensors would have one name. */
export function modelHeader(header: SafetensorsHeader, file: string): SafetensorsHeader {
  const tensors = new Map<string, TensorEntry>();
  const from = new Map<string, string>();
  let changed = false;
  for (const [name, entry] of header.tensors) {
    const known = modelName(name);
    if (tensors.has(known))
      throw new CheckpointError(
        `${file} has ${known} twice, as ${from.get(known)} and ${name}; save the weights of one model alone, or convert it with \`aim convert --part NAME\`.`,
      );
    tensors.set(known, entry);
    from.set(known, name);
    changed ||= known !== name;
  }
  return changed ? { ...header, tensors } : header;
}
