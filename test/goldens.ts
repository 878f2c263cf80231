/** Where golden checkpoints lie: the shipped ones, and the full set beside the project when it is there. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

export const fixture = (name: string) => `${root}test/fixtures/${name}`;
export const embedded = `${root}models/fashion-mnist`;
/** Where the full set lies beside the project, if it does. */
export const SHARED_GOLDENS = `${root}../shared/goldens`;

export const GOLDENS = ['mamba1-adaln-group', 'mamba2-adaln', 'mamba2-adaln-group', 'aim-fmnist'] as const;

/** The folder of a golden checkpoint, or undefined where only the shipped ones are. */
export function golden(name: (typeof GOLDENS)[number]): string | undefined {
  for (const folder of [`${SHARED_GOLDENS}/${name}`, fixture(name)])
    if (existsSync(`${folder}/expected.safetensors`)) return folder;
  return undefined;
}

export const NO_GOLDENS = 'the full golden checkpoints (../shared/goldens) are not here';
