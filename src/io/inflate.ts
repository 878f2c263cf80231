/** Decompression that can be stopped: the size of a small file does not bound what it inflates to. */

/** Inflates piece by piece, so that the caller can stop after any piece. Throws the runtime's error if the data is damaged. */
export async function* inflated(
  bytes: Uint8Array | readonly Uint8Array[],
  format: 'deflate' | 'gzip',
): AsyncGenerator<Uint8Array, void, undefined> {
  // The Blob of jsdom, in which many projects run their tests, has no stream().
  const pieces = (bytes instanceof Uint8Array ? [bytes] : [...bytes]) as BufferSource[];
  const stream = new ReadableStream<BufferSource>({
    pull(controller) {
      const piece = pieces.shift();
      if (piece) controller.enqueue(piece);
      else controller.close();
    },
  });
  const reader = stream.pipeThrough(new DecompressionStream(format)).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** Joins pieces to exactly `size` bytes. The pieces must have at least that many; the rest is dropped. */
export function joined(pieces: readonly Uint8Array[], size: number): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    out.set(piece.subarray(0, size - at), at);
    at += Math.min(piece.length, size - at);
  }
  return out;
}
