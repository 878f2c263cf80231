/** A format whose reader fails in another way for each file, for soak.test.ts. */
let calls = 0;

export const failing = {
  format: {
    bases: () => [new Uint8Array(0)],
    damage: () => new Uint8Array(0),
    async read() {
      // The sound file is read first.
      calls++;
      if (calls === 2) throw new TypeError('not typed');
      if (calls === 3) Buffer.alloc(400 * 2 ** 20, 1);
      if (calls === 4) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5100);
    },
  },
};
