/** What every kind of checkpoint is made of: a local folder, a download, dropped files, objects in memory. */
import type { ByteSource } from '../io/bytes.js';
import { CONFIG, WEIGHTS } from './folder.js';

/** The files that torch.save is usually given; what they hold is known by their first bytes. */
export const TORCH = /\.(pt|pth|bin)$/i;
export const LAYOUT = `a checkpoint is a folder with ${CONFIG} and ${WEIGHTS}`;
/** Most bytes of a local config.json, classes.json or index; downloads have the same limit. */
export const MAX_TEXT = 16 * 2 ** 20;
/** What every kind of checkpoint provides; openCheckpoint adds parsing, abort and close. */
export interface Contents {
  name: string;
  configName: string;
  configText: (() => Promise<string>) | { parsed: object };
  weights: () => Promise<ByteSource>;
  text: (file: string) => Promise<string | undefined>;
}

/**
 * The source as safetensors. A PyTorch checkpoint is known by its first bytes, which the first read looks at, and is read by a
 * module that is loaded only then.
 */
export function understood(
  source: ByteSource,
  signal: AbortSignal | undefined,
): ByteSource & { readonly ignored: readonly string[] } {
  let opened: (ByteSource & { readonly ignored?: readonly string[] }) | undefined;
  let opening: Promise<void> | undefined;
  const open = async () => {
    const start = source.size >= 8 ? await source.read(0, 8, signal) : [];
    const isTorch = (start[0] === 0x50 && start[1] === 0x4b) || (start[0] === 0x80 && start[1]! <= 5);
    opened = isTorch ? await (await import('../io/torch.js')).asSafetensors(source, { signal }) : source;
  };
  return {
    name: source.name,
    get size() {
      return (opened ?? source).size;
    },
    /** Tensors and other objects of a PyTorch checkpoint that have no place in safetensors; known after the first read. */
    get ignored() {
      return opened?.ignored ?? [];
    },
    async read(offset, length, own) {
      if (!opened) {
        opening ??= open().finally(() => {
          opening = undefined;
        });
        await opening;
      }
      return opened!.read(offset, length, own);
    },
    finish: async () => (opened ?? source).finish?.(),
    rest: async () => (opened ?? source).rest?.(),
    close: async () => (opened ?? source).close(),
  };
}

/** The first of some names, for messages. */
export function few(names: readonly string[]): string {
  if (names.length === 0) return 'nothing';
  return names.slice(0, 5).join(', ') + (names.length > 5 ? `, and ${names.length - 5} more` : '');
}
