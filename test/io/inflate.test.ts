/** Inflating in the environments that other projects run their tests in. */
import { deflateSync } from 'node:zlib';
import { afterEach, expect, it, vi } from 'vitest';
import { WasmBackend } from '../../src/backend/wasm.js';
import { inflated, joined } from '../../src/io/inflate.js';

afterEach(() => vi.unstubAllGlobals());

it('does not need Blob.stream(), which jsdom lacks', async () => {
  vi.stubGlobal('Blob', class {});
  const data = Uint8Array.from({ length: 5000 }, (_, i) => (i * i) % 251);
  const packed = deflateSync(data);
  const pieces: Uint8Array[] = [];
  for await (const piece of inflated([packed.subarray(0, 100), packed.subarray(100)], 'deflate')) pieces.push(piece);
  expect(joined(pieces, data.length)).toEqual(data);
  (await WasmBackend.create({ threads: 1 })).dispose();
});
