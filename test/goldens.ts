/** Paths of golden checkpoints: those in test/fixtures, and the full set beside the project if it exists. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

export const fixture = (name: string) => `${root}test/fixtures/${name}`;
/** A trained model that draws six times as fast as the embedded one. */
export const FASHION = `${root}models/fashion-mnist`;
/** Path of the full set beside the project, if it exists. */
export const SHARED_GOLDENS = `${root}../shared/goldens`;

export const GOLDENS = [
  'mamba1-adaln-group',
  'mamba2-adaln',
  'mamba2-adaln-group',
  'hybrid-attention',
  'transformer',
  'aim-fmnist',
] as const;

/** The folder of a golden checkpoint, or undefined if it is in the full set only and that is missing. */
export function golden(name: (typeof GOLDENS)[number]): string | undefined {
  for (const folder of [`${SHARED_GOLDENS}/${name}`, fixture(name)])
    if (existsSync(`${folder}/expected.safetensors`)) return folder;
  return undefined;
}

export const NO_GOLDENS = 'the full golden checkpoints (../shared/goldens) are not here';
